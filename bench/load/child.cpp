#include "bench/load/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core/base/check.h"

namespace covey::load {
namespace {

void become_child(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);  // the parent ended before that
}

}  // namespace

double now_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void pause_seconds(double seconds) {
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

std::string folder_of_programs() { return std::filesystem::read_symlink("/proc/self/exe").parent_path().string(); }

double load_average() {
  std::array<double, 1> load{};
  return ::getloadavg(load.data(), 1) == 1 ? load[0] : 0;
}

std::string machine_state() {
  std::ostringstream text;
  text.precision(2);
  text << "load " << load_average() << " on " << std::thread::hardware_concurrency() << " cores";
  return text.str();
}

Child::Child(const std::function<int()>& body) {
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) return;
  become_child(parent);
  int code = 125;
  try {
    code = body();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "load process: %s\n", failure.what());
  }
  ::_exit(code);
}

Child::Child(const Program& program) {
  const std::string path = folder_of_programs() + "/" + program.name;
  if (::access(path.c_str(), X_OK) != 0) throw std::runtime_error(path + " is not built");
  std::vector<std::string> arguments = program.arguments;
  std::vector<char*> raw{const_cast<char*>(path.c_str())};
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  const int out = ::open(program.log.empty() ? "/dev/null" : program.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const rlimit files{program.open_files_max, program.open_files_max};
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    become_child(parent);
    if (program.open_files_max != 0) ::setrlimit(RLIMIT_NOFILE, &files);
    if (::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) ::_exit(126);
    ::execv(path.c_str(), raw.data());
    ::_exit(127);
  }
  ::close(out);
  if (pid_ < 0) throw std::runtime_error("cannot fork");
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, -1);
    code_ = other.code_;
  }
  return *this;
}

bool Child::alive() { return !wait(0); }

void Child::signal(int number) const {
  if (pid_ > 0 && !code_) ::kill(pid_, number);
}

std::optional<int> Child::wait(double seconds) {
  if (code_ || pid_ < 0) return code_;
  const double end = now_seconds() + seconds;
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) return code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    COVEY_CHECK(ended == 0 || errno == EINTR);
    if (now_seconds() >= end) return std::nullopt;
    pause_seconds(0.005);
  }
}

void Child::kill() {
  if (pid_ < 0 || code_) return;
  signal(SIGCONT);
  signal(SIGKILL);
  wait(30);
}

std::uint64_t Child::status_field(const char* field) const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string word; status >> word;) {
    if (word != field) continue;
    std::uint64_t value = 0;
    status >> value;
    return value;
  }
  return 0;
}

std::uint64_t Child::rss_bytes() const { return 1024 * status_field("VmRSS:"); }
std::uint64_t Child::peak_rss_bytes() const { return 1024 * status_field("VmHWM:"); }

double Child::cpu_seconds() const {
  std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

namespace {

// How many of the process's descriptors `counts`, which is given what each links to.
template <class Counts>
std::size_t count_files(pid_t process, Counts counts) {
  std::error_code code;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(process) + "/fd", code), end; at != end; at.increment(code)) {
    if (code) break;
    count += counts(*at) ? 1 : 0;
  }
  return count;
}

}  // namespace

std::size_t Child::open_files() const {
  return count_files(pid_, [](const auto&) { return true; });
}

std::size_t Child::open_sockets() const {
  return count_files(pid_, [](const auto& file) {
    std::error_code closed;
    return std::filesystem::read_symlink(file.path(), closed).string().starts_with("socket:");
  });
}

}  // namespace covey::load
