// Collects the commands of one event and holds back what must not be seen before it is durable.
// The rule: whatever leaves the machine (a message, an admission, a published or erased blob, a
// line of the log) waits until every Persist issued before it has been answered. State in memory
// may run ahead of the disk, for nobody can see it; a crash then loses only what nobody saw.
#pragma once
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/protocol/machine.h"

namespace covey {

class Outbox {
 public:
  Ticket next_ticket() { return ++last_ticket_; }

  // Not issued when empty: then 0. What follows waits for it.
  Ticket persist(Batch batch);
  void persisted(Ticket ticket);  // an unknown ticket is ignored

  // Whether this write, and all before it, are durable.
  bool durable(Ticket ticket) const { return outstanding_.empty() || ticket < *outstanding_.begin(); }

  // ---- after everything so far is durable, in order
  void send(const Link& to, Message message) { after(Send{to, std::move(message)}); }
  void log(LogLevel level, std::string event, std::vector<LogField> fields);
  void after(Command command);

  // ---- at once: what promises nothing (a sign of life), or is invisible (a timer, a computation)
  void now(Command command) { ready_.push_back(std::move(command)); }
  void say(const Link& to, Message message) { now(Send{to, std::move(message)}); }

  // Asked just before an EraseBlob is released: someone may have taken the blob up meanwhile.
  void on_erase(std::function<bool(const Digest&)> still_needed) { still_needed_ = std::move(still_needed); }

  Commands take();  // of this event

 private:
  struct Held {
    Ticket barrier = 0;  // released when no Persist up to this one is outstanding
    Command command;
  };
  void release();
  Commands ready_;
  std::deque<Held> held_;
  std::set<Ticket> outstanding_;
  Ticket last_ticket_ = 0;
  std::function<bool(const Digest&)> still_needed_;
};

}  // namespace covey
