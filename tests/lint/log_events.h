// The events that the sources log, and those that docs/logs.md names.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tests/lint/source_text.h"

namespace covey::lint {

struct LoggedEvent {
  std::string name;  // empty: the call does not write it out
  std::size_t line = 0;
};

// In `log(LogLevel::k..., "name", ...)`, `LogEntry{LogLevel::k..., "name"...}` and `log.info("name", ...)` and
// its like, whatever the log is called; of `a ? "one" : "other"` both.
std::vector<LoggedEvent> logged_events(std::string_view text);

// Names in backticks in the first column of the page's tables.
std::vector<std::string> documented_events(std::string_view page);

}  // namespace covey::lint
