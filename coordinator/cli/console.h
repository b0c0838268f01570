// What a command prints: results on standard output, as text or (--json) as JSON lines; what it is
// doing on standard error, with one line that moves where that is a terminal.
#pragma once
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "coordinator/cli/format.h"
#include "coordinator/cli/json_object.h"

namespace covey::cli {

class Console {
 public:
  explicit Console(bool json);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  bool json() const { return json_; }
  // A result: `text` in text mode only, `object` in JSON mode only.
  void line(std::string_view text);
  void object(const JsonObject& object);
  void table(const Table& table);
  void raw(std::string_view bytes);  // in both modes, as it is
  // What is being done, or what to do next: on standard output in text mode, else on standard error.
  void note(std::string_view text);
  // Always on standard error.
  void warn(std::string_view text);
  // The moving line, at most some twenty times a second; nothing where standard error is no terminal. An empty text
  // clears it.
  void progress(std::string_view text);
  bool moving() const { return terminal_; }
  // Nobody reads standard output any more (`covey watch | head`): what follows a job for ever may end.
  bool unread() const { return unread_; }

 private:
  void write(std::FILE* to, std::string_view text);
  bool json_;
  bool terminal_;      // of standard error
  bool moved_ = false; // there is a moving line to clear
  bool unread_ = false;
  std::chrono::steady_clock::time_point shown_;  // when the moving line was, last
};

// Waits, but not past the moment when Ctrl-C comes. False: it came.
bool wait_or_interrupt(double seconds);

}  // namespace covey::cli
