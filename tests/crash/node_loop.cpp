#include "tests/crash/node_loop.h"

#include <algorithm>

#include "core/base/fault_point.h"

namespace covey::crash {
namespace {

// Between two commands of one event: what a driver may have shown when the process ends.
void point_after_sending(const Message& message) {
  if (std::holds_alternative<UpdateAccepted>(message)) fault_point("driver.acceptance.sent");
  if (std::holds_alternative<RoundOffer>(message)) fault_point("driver.offer.sent");
  if (std::holds_alternative<RoundClosed>(message)) fault_point("driver.closing.sent");
  if (std::holds_alternative<UpdateReady>(message)) fault_point("driver.update.announced");
  if (std::holds_alternative<Chunk>(message)) fault_point("driver.chunk.served");
}

void point_before_handling(const Message& message) {
  if (std::holds_alternative<RoundOffer>(message)) fault_point("driver.offer.received");
  if (std::holds_alternative<UpdateReady>(message)) fault_point("driver.update.received");
  if (std::holds_alternative<UpdateAccepted>(message)) fault_point("driver.acceptance.received");
}

}  // namespace

void NodeLoop::start(Instant now) {
  now_ = now;
  dispatch(Started{});
}

void NodeLoop::receive(const Link& from, const Message& message, Instant now) {
  if (halted_) return;
  now_ = std::max(now_, now);
  point_before_handling(message);
  if (std::holds_alternative<BulkHello>(message)) return after(transfer_.reconnected(from.peer, now_));
  if (is_bulk(message)) return after(transfer_.receive(from.peer, message, now_));
  dispatch(Received{from, message});
}

void NodeLoop::advance(Instant now) {
  now_ = std::max(now_, now);
  std::vector<std::string> due;
  for (const auto& [name, at] : timers_)
    if (at <= now_) due.push_back(name);
  for (const std::string& name : due) {
    const auto timer = timers_.find(name);
    if (halted_ || timer == timers_.end() || timer->second > now_) continue;  // an earlier one changed it
    timers_.erase(timer);
    dispatch(TimerFired{name});
  }
  if (const auto tick = transfer_.next_tick(); !halted_ && tick && *tick <= now_) after(transfer_.tick(now_));
}

std::optional<Instant> NodeLoop::next_due() const {
  if (halted_) return std::nullopt;
  std::optional<Instant> due = transfer_.next_tick();
  for (const auto& [name, at] : timers_)
    if (!due || at < *due) due = at;
  return due;
}

void NodeLoop::drain() {
  while (true) {
    std::vector<Event> events;
    {
      const std::lock_guard lock(mutex_);
      events.swap(done_);
    }
    if (events.empty()) return;
    for (const Event& event : events) {
      --outstanding_;
      dispatch(event);
    }
  }
}

bool NodeLoop::busy() { return outstanding_ != 0; }

void NodeLoop::dispatch(const Event& event) {
  if (halted_) return;
  for (Command& command : parts_.machine.handle(event, now_))
    std::visit([&](auto&& c) { on(std::forward<decltype(c)>(c)); }, std::move(command));
}

void NodeLoop::after(const BlobTransfer::Step& step) {
  for (const BlobTransfer::Outgoing& outgoing : step.outgoing) on(Send{{outgoing.to, 0}, outgoing.message});
  // Through the queue: a machine is not entered while it handles an event.
  for (const Event& event : step.events) {
    ++outstanding_;
    const std::lock_guard lock(mutex_);
    done_.push_back(event);
  }
  if (!step.events.empty() && parts_.wake) parts_.wake();
}

Executor::Completion NodeLoop::completion() {
  ++outstanding_;
  return [this](Event event) {
    {
      const std::lock_guard lock(mutex_);
      done_.push_back(std::move(event));
    }
    if (parts_.wake) parts_.wake();
  };
}

void NodeLoop::on(const Send& command) {
  parts_.send(command.to, command.message);
  point_after_sending(command.message);
}

void NodeLoop::on(Persist command) {
  const bool saves = std::any_of(command.batch.puts.begin(), command.batch.puts.end(),
                                 [](const Put& put) { return put.key.starts_with("update/"); });
  parts_.executor.persist(std::move(command), completion());
  if (saves) fault_point("driver.update.saving");
}

void NodeLoop::on(const FetchBlob& command) {
  after(transfer_.fetch(command, now_));
  fault_point("driver.fetch.begun");
}

void NodeLoop::on(const EraseBlob& command) {
  transfer_.withdraw(command.blob);
  parts_.blobs.drop_partial(command.blob);
  COVEY_CHECK(parts_.blobs.erase(command.blob).has_value());
}

void NodeLoop::on(StartWork command) {
  const bool trains = std::holds_alternative<Train>(command.work);
  parts_.executor.start(std::move(command), completion());
  if (trains) fault_point("driver.training.begun");
}

}  // namespace covey::crash
