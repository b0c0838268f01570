// The real programs as child processes: started, listened to, and always ended. One thread: every
// wait reads what all children write, so that none of them blocks on a full pipe.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace covey::system_test {

struct Launch {
  std::string program;                   // a file in the build's bin/, without its folder; or a whole path
  std::vector<std::string> arguments = {};
  std::uint64_t file_bytes_max = 0;      // RLIMIT_FSIZE; 0: none
  std::string folder = {};               // to run in; empty: ours
  std::uint64_t open_files_max = 0;      // RLIMIT_NOFILE; 0: as ours
};

struct LogLine {
  std::string event;
  nlohmann::json fields;
  std::string text(const char* name) const;        // "" when absent
  std::uint64_t number(const char* name) const;    // 0 when absent
};

class Process {
 public:
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  const std::string& out() const { return out_.text; }      // standard output so far
  const std::string& errors() const { return errors_.text; }  // standard error so far, log lines too
  const std::vector<LogLine>& lines() const { return lines_; }  // JSON lines of standard error
  bool has(std::string_view event) const { return count(event) > 0; }
  std::size_t count(std::string_view event) const;
  const LogLine* last(std::string_view event) const;        // null when there is none
  bool says(std::string_view words) const;                  // on either stream

  bool ended() const { return ended_; }
  // After it ended: as a shell reports it, 128 + signal where one ended it.
  int code() const { return code_; }

  void signal(int number) const;  // nothing once it has ended

 private:
  friend class Nursery;
  struct Stream {
    int descriptor = -1;
    std::string text;
    std::size_t parsed = 0;
  };
  Process(std::string name, pid_t pid, int out, int errors);
  void read_from(Stream& stream);
  void parse_lines();
  void reap();

  std::string name_;
  pid_t pid_;
  Stream out_, errors_;
  std::vector<LogLine> lines_;
  bool ended_ = false;
  int code_ = -1;
};

class Nursery {
 public:
  Nursery() = default;
  ~Nursery();  // kills and awaits what still runs
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  Process& start(const Launch& launch);
  // Until `done` holds, asked after each thing that any child wrote, or `seconds` have passed. What
  // `done` gave last.
  bool until(const std::function<bool()>& done, double seconds);
  // To its end. Past `seconds` it is killed, and its code is 137.
  Process& finish(Process& process, double seconds = 20);
  Process& run(const Launch& launch, double seconds = 20) { return finish(start(launch), seconds); }
  // SIGKILL, and gone when this returns.
  void kill(Process& process);

 private:
  void pump(int timeout_ms);
  std::vector<std::unique_ptr<Process>> children_;  // ended ones too: their output is still of interest
};

}  // namespace covey::system_test
