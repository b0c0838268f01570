// Log lines that a peer can cause: each event at most once in ten seconds, with the number left out.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"

namespace covey {

class LimitedLog {
 public:
  LimitedLog(Log& log, Clock& clock) : log_(log), clock_(clock) {}  // both outlive this

  void warning(const std::string& event, std::vector<LogField> fields) {
    Entry& entry = entries_[event];
    const Instant now = clock_.now();
    if (entry.next > now) {
      ++entry.left_out;
      return;
    }
    if (entry.left_out > 0) fields.emplace_back("left_out", entry.left_out);
    entry = {now + std::chrono::seconds(10), 0};
    log_.warning(event, std::move(fields));
  }

 private:
  struct Entry {
    Instant next{};
    std::uint64_t left_out = 0;
  };
  Log& log_;
  Clock& clock_;
  std::map<std::string, Entry> entries_;
};

}  // namespace covey
