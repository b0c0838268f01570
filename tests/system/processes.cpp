#include "tests/system/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>

#include "core/base/check.h"

namespace covey::system_test {
namespace {

using Time = std::chrono::steady_clock;

constexpr std::size_t kOutputBytesMax = 64 << 20;

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  COVEY_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  return {ends[0], ends[1]};
}

struct Prepared {  // everything the child needs, so that it allocates nothing after fork
  std::string path;
  std::vector<char*> arguments;
  const char* folder = nullptr;
  rlimit file_size{}, open_files{};
  pid_t parent = 0;
};

// Only async-signal-safe calls: other threads of ours may hold locks.
[[noreturn]] void become(const Prepared& child, int out, int errors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != child.parent) ::_exit(126);  // the parent ended before that
  if (child.folder != nullptr && ::chdir(child.folder) != 0) ::_exit(126);
  if (child.file_size.rlim_cur != 0) ::setrlimit(RLIMIT_FSIZE, &child.file_size);
  if (child.open_files.rlim_cur != 0) ::setrlimit(RLIMIT_NOFILE, &child.open_files);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (::dup2(nothing, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(errors, 2) < 0) ::_exit(126);
  ::signal(SIGXFSZ, SIG_IGN);  // a write past the limit fails with EFBIG instead
  ::execv(child.path.c_str(), child.arguments.data());
  ::_exit(127);
}

}  // namespace

std::string LogLine::text(const char* name) const {
  const auto at = fields.find(name);
  return at != fields.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::uint64_t LogLine::number(const char* name) const {
  const auto at = fields.find(name);
  return at != fields.end() && at->is_number() ? at->get<std::uint64_t>() : 0;
}

Process::Process(std::string name, pid_t pid, int out, int errors) : name_(std::move(name)), pid_(pid) {
  out_.descriptor = out;
  errors_.descriptor = errors;
}

std::size_t Process::count(std::string_view event) const {
  return static_cast<std::size_t>(
      std::count_if(lines_.begin(), lines_.end(), [&](const LogLine& line) { return line.event == event; }));
}

const LogLine* Process::last(std::string_view event) const {
  const auto at = std::find_if(lines_.rbegin(), lines_.rend(), [&](const LogLine& line) { return line.event == event; });
  return at == lines_.rend() ? nullptr : &*at;
}

bool Process::says(std::string_view words) const {
  return out_.text.find(words) != std::string::npos || errors_.text.find(words) != std::string::npos;
}

void Process::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

void Process::read_from(Stream& stream) {
  std::array<char, 65536> buffer;
  const ssize_t count = ::read(stream.descriptor, buffer.data(), buffer.size());
  if (count > 0) {
    stream.text.append(buffer.data(), static_cast<std::size_t>(count));
    COVEY_CHECK(stream.text.size() < kOutputBytesMax);
    return;
  }
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  ::close(stream.descriptor);
  stream.descriptor = -1;
}

void Process::parse_lines() {
  for (std::size_t end; (end = errors_.text.find('\n', errors_.parsed)) != std::string::npos; errors_.parsed = end + 1) {
    const std::string_view line = std::string_view(errors_.text).substr(errors_.parsed, end - errors_.parsed);
    auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("event")) continue;
    LogLine entry{"", std::move(parsed)};
    entry.event = entry.text("event");
    lines_.push_back(std::move(entry));
  }
}

// Both its pipes are closed, so it has ended or is about to.
void Process::reap() {
  int status = 0;
  COVEY_CHECK(::waitpid(pid_, &status, 0) == pid_);
  ended_ = true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Nursery::~Nursery() {
  for (const auto& child : children_) kill(*child);
}

Process& Nursery::start(const Launch& launch) {
  Prepared child;
  child.path = launch.program.starts_with('/') ? launch.program : std::string(COVEY_BINARY_DIR) + "/bin/" + launch.program;
  std::vector<std::string> arguments = launch.arguments;
  child.arguments.push_back(child.path.data());
  for (std::string& argument : arguments) child.arguments.push_back(argument.data());
  child.arguments.push_back(nullptr);
  if (!launch.folder.empty()) child.folder = launch.folder.c_str();
  child.file_size = {launch.file_bytes_max, launch.file_bytes_max};
  child.open_files = {launch.open_files_max, launch.open_files_max};
  child.parent = ::getpid();
  const Pipe out = make_pipe();
  const Pipe errors = make_pipe();
  const pid_t pid = ::fork();
  COVEY_CHECK(pid >= 0);
  if (pid == 0) become(child, out.write, errors.write);
  ::close(out.write);
  ::close(errors.write);
  children_.push_back(std::unique_ptr<Process>(new Process(launch.program, pid, out.read, errors.read)));
  return *children_.back();
}

void Nursery::pump(int timeout_ms) {
  std::vector<pollfd> polled;
  std::vector<std::pair<Process*, Process::Stream*>> owners;
  for (const auto& child : children_)
    for (Process::Stream* stream : {&child->out_, &child->errors_}) {
      if (stream->descriptor < 0) continue;
      polled.push_back({stream->descriptor, POLLIN, 0});
      owners.emplace_back(child.get(), stream);
    }
  if (::poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents == 0) continue;
    owners[i].first->read_from(*owners[i].second);
    owners[i].first->parse_lines();
  }
  for (const auto& child : children_)
    if (!child->ended_ && child->out_.descriptor < 0 && child->errors_.descriptor < 0) child->reap();
}

bool Nursery::until(const std::function<bool()>& done, double seconds) {
  const auto end = Time::now() + std::chrono::duration<double>(seconds);
  while (!done()) {
    const double left = std::chrono::duration<double>(end - Time::now()).count();
    if (left <= 0) return false;
    pump(static_cast<int>(std::ceil(left * 1000)));
  }
  return true;
}

Process& Nursery::finish(Process& process, double seconds) {
  if (!until([&] { return process.ended(); }, seconds)) kill(process);
  return process;
}

void Nursery::kill(Process& process) {
  process.signal(SIGKILL);
  while (!process.ended()) pump(1000);
}

}  // namespace covey::system_test
