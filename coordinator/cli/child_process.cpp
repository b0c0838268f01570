#include "coordinator/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "core/base/file.h"

namespace covey::cli {
namespace {

constexpr double kStopSeconds = 5;

// Between fork and exec: only what a signal handler may do too, for the parent has threads.
[[noreturn]] void become(char* const* arguments, int output, pid_t parent, const sigset_t& mask) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_DFL);  // ours are not its
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::setpgid(0, 0);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::execv(arguments[0], arguments);
  static constexpr char kText[] = "cannot be executed\n";
  const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
  ::_exit(written < 0 ? 126 : 127);
}

std::string words_of(int status) {
  if (WIFEXITED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const Request& request) {
  const std::string& program = request.command.front();
  if (::access(program.c_str(), X_OK) != 0)
    return unexpected(
        ErrorCode::kNotFound,
        program + " is not there or not executable; build it with `ninja covey-coordinator covey-client`");
  COVEY_TRY(const FileDescriptor log,
            open_file(request.log_file, request.append ? OpenMode::kReadWrite : OpenMode::kReplace));
  if (request.append && ::lseek(log.number(), 0, SEEK_END) < 0)
    return unexpected(system_error_of(errno, request.log_file));
  std::vector<char*> arguments;
  for (const std::string& argument : request.command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  sigset_t all, before;  // no signal may meet our handlers in the child
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid == 0) become(arguments.data(), log.number(), parent, before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return unexpected(system_error_of(error, "cannot start " + program));
  return ChildProcess(pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), end_(std::move(other.end_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(end_, other.end_);
  return *this;
}

ChildProcess::~ChildProcess() { stop(); }

std::optional<std::string> ChildProcess::ended() {
  if (pid_ < 0 || end_) return end_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) end_ = words_of(status);
  return end_;
}

bool ChildProcess::wait(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!ended()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void ChildProcess::ask_to_stop() {
  if (pid_ > 0 && !ended()) ::kill(pid_, SIGTERM);
}

void ChildProcess::kill() {
  if (pid_ <= 0 || ended()) return;
  ::kill(pid_, SIGKILL);
  wait(kStopSeconds);
}

void ChildProcess::stop() {
  if (pid_ <= 0) return;
  ask_to_stop();
  if (!wait(kStopSeconds)) kill();
}

}  // namespace covey::cli
