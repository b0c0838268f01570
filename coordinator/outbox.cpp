#include "coordinator/outbox.h"

#include <utility>

namespace covey {

Ticket Outbox::persist(Batch batch) {
  if (batch.empty()) return 0;
  const Ticket ticket = next_ticket();
  outstanding_.insert(ticket);
  ready_.push_back(Persist{ticket, std::move(batch)});
  return ticket;
}

void Outbox::persisted(Ticket ticket) {
  outstanding_.erase(ticket);
  release();
}

void Outbox::log(LogLevel level, std::string event, std::vector<LogField> fields) {
  after(WriteLog{LogEntry{level, std::move(event), std::move(fields)}});
}

void Outbox::after(Command command) {
  held_.push_back({last_ticket_, std::move(command)});
  release();
}

void Outbox::release() {
  while (!held_.empty() && (outstanding_.empty() || held_.front().barrier < *outstanding_.begin())) {
    Command command = std::move(held_.front().command);
    held_.pop_front();
    const auto* erase = std::get_if<EraseBlob>(&command);
    if (erase != nullptr && still_needed_ && still_needed_(erase->blob)) continue;
    ready_.push_back(std::move(command));
  }
}

Commands Outbox::take() { return std::exchange(ready_, {}); }

}  // namespace covey
