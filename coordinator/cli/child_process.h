// A program that this one started: its output goes to a file, and it does not outlive us.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace covey::cli {

class ChildProcess {
 public:
  struct Request {
    std::vector<std::string> command;  // the program's path, then its arguments
    std::string log_file;              // gets standard output and error; created or emptied
    bool append = false;               // not emptied
  };
  // In a process group of its own, so that Ctrl-C in the terminal reaches us alone and we end it in
  // order; the kernel ends it should we die first. Call it on a thread that lives as long as the child.
  // Errors: kNotFound when the program is not there, kResourceExhausted.
  static Result<ChildProcess> start(const Request& request);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  // stop()

  // How it ended, in words ("exit code 3", "signal 9"); nothing while it runs.
  std::optional<std::string> ended();
  void ask_to_stop();                // SIGTERM
  void kill();                       // SIGKILL, and waits
  void stop();                       // SIGTERM, and SIGKILL if that is not enough within five seconds
  pid_t pid() const { return pid_; }

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  bool wait(double seconds);
  pid_t pid_ = -1;
  std::optional<std::string> end_;
};

}  // namespace covey::cli
