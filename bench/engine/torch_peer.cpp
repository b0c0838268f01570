#include "bench/engine/torch_peer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace covey::bench {
namespace {

constexpr unsigned kPatienceSeconds = 300;  // torch.compile may take minutes

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) == 0) read = ends[0], write = ends[1];
  }
};

[[noreturn]] void become_peer(const std::vector<std::string>& words, int in, int out) {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  const int nowhere = ::open("/dev/null", O_WRONLY);
  if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
  ::alarm(2 * kPatienceSeconds);  // whatever becomes of us, it ends
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

std::unique_ptr<TorchPeer> TorchPeer::start(const PeerCase& peer, std::string& why) {
  const char* python = std::getenv("COVEY_PEERS_PYTHON");
  if (python == nullptr || *python == 0) {
    why = "COVEY_PEERS_PYTHON does not name a python that has torch";
    return nullptr;
  }
  std::vector<std::string> words{python, COVEY_SOURCE_DIR "/bench/peers/torch_train.py", "--serve", "--case", peer.name,
                                 "--precision", peer.precision, "--threads", std::to_string(peer.threads)};
  if (peer.compiled) words.push_back("--compile");
  if (peer.channels_last) words.push_back("--channels-last");
  if (!peer.clip.empty()) words.insert(words.end(), {"--clip", peer.clip});
  const Pipe to, from;
  std::unique_ptr<TorchPeer> made(new TorchPeer);
  made->pid_ = ::fork();
  if (made->pid_ == 0) become_peer(words, to.read, from.write);
  ::close(to.read);
  ::close(from.write);
  made->in_ = ::fdopen(to.write, "w");
  made->out_ = ::fdopen(from.read, "r");
  try {
    const nlohmann::json said = nlohmann::json::parse(made->line());
    made->says_ = "PyTorch " + said.at("torch").get<std::string>() + " " + said.at("mode").get<std::string>() + (peer.channels_last ? " channels last, " : ", ") +
                  said.at("blas").get<std::string>() + ", oneDNN " + said.at("onednn").get<std::string>();
    if (!peer.clip.empty()) made->says_ += ", " + said.at("clip").get<std::string>();
  } catch (const std::exception&) {
    why = std::string(python) + " could not run torch_train.py --case " + peer.name + " --precision " + peer.precision +
          (peer.compiled ? " --compile" : "") + (peer.clip.empty() ? "" : " --clip " + peer.clip);
    return nullptr;
  }
  return made;
}

TorchPeer::~TorchPeer() {
  if (in_ != nullptr) std::fclose(in_);
  if (out_ != nullptr) std::fclose(out_);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string TorchPeer::line() {
  std::array<char, 4096> text{};
  if (out_ == nullptr || std::fgets(text.data(), text.size(), out_) == nullptr)
    throw std::runtime_error("the PyTorch process ended");
  return text.data();
}

StepTime TorchPeer::step() {
  std::fputs("step\n", in_);
  std::fflush(in_);
  const std::string text = line();
  std::size_t used = 0;
  const double wall = std::stod(text, &used);
  return {wall, std::stod(text.substr(used))};
}

double TorchPeer::peak_mb() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string text; std::getline(status, text);)
    if (text.starts_with("VmHWM:")) return std::stod(text.substr(6)) / 1024;
  return 0;
}

}  // namespace covey::bench
