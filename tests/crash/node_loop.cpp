#include "tests/crash/node_loop.h"

#include <algorithm>

#include "core/base/fault_point.h"
#include "privacy/secagg_messages.h"

namespace covey::crash {
namespace {

template <class M>
bool is(const std::optional<SecAggMessage>& message) {
  return message && std::holds_alternative<M>(*message);
}

// What a note of secure aggregation says.
std::optional<SecAggMessage> said_in(const Message& message) {
  const auto* note = std::get_if<SecAggNote>(&message);
  if (note == nullptr) return std::nullopt;
  auto said = decode_secagg_message(note->content);
  return said ? std::optional(*std::move(said)) : std::nullopt;
}

void point_after_saying(const std::optional<SecAggMessage>& said) {
  if (is<InviteMessage>(said)) fault_point("driver.invitation.sent");
  if (is<RosterMessage>(said)) fault_point("driver.roster.sent");
  if (is<DeliveryMessage>(said)) fault_point("driver.delivery.sent");
  if (is<MaskOrderMessage>(said)) fault_point("driver.order.sent");
  if (is<SurvivorsMessage>(said)) fault_point("driver.survivors.sent");
  if (is<OutcomeMessage>(said)) fault_point("driver.outcome.sent");
  if (is<AbortRequestMessage>(said)) fault_point("driver.abort_request.sent");
  if (is<JoinMessage>(said)) fault_point("driver.keys.sent");
  if (is<SharesMessage>(said)) fault_point("driver.shares.sent");
  if (is<ConfirmMessage>(said)) fault_point("driver.confirmation.sent");
  if (is<VoteMessage>(said)) fault_point("driver.vote.sent");
  if (is<UnmaskMessage>(said)) fault_point("driver.reveal.sent");
}

void point_before_hearing(const std::optional<SecAggMessage>& said) {
  if (is<JoinMessage>(said)) fault_point("driver.keys.received");
  if (is<SharesMessage>(said)) fault_point("driver.shares.received");
  if (is<ConfirmMessage>(said)) fault_point("driver.confirmation.received");
  if (is<VoteMessage>(said)) fault_point("driver.vote.received");
  if (is<UnmaskMessage>(said)) fault_point("driver.reveal.received");
  if (is<RosterMessage>(said)) fault_point("driver.roster.received");
  if (is<MaskOrderMessage>(said)) fault_point("driver.order.received");
  if (is<SurvivorsMessage>(said)) fault_point("driver.survivors.received");
  if (is<OutcomeMessage>(said)) fault_point("driver.outcome.received");
  if (is<AbortRequestMessage>(said)) fault_point("driver.abort_request.received");
}

bool any_put(const Batch& batch, std::string_view table) {
  return std::any_of(batch.puts.begin(), batch.puts.end(), [&](const Put& put) { return put.key.starts_with(table); });
}

// Asked for, and not confirmed: the rows that secure aggregation rests on, and an update's.
void point_while_saving(const Batch& batch) {
  if (any_put(batch, "update/")) fault_point("driver.update.saving");
  if (any_put(batch, "mask/")) fault_point("driver.mask.saving");
  if (any_put(batch, "ledger/")) fault_point("driver.freeze.saving");
  if (any_put(batch, "outcome/")) fault_point("driver.outcome.saving");
  if (any_put(batch, "unmask/")) fault_point("driver.reveal.saving");
  if (any_put(batch, "masked/")) fault_point("driver.masked.saving");
  if (any_put(batch, "secagg/attempt/")) fault_point("driver.record.saving");
}

// Between two commands of one event: what a driver may have shown when the process ends.
void point_after_sending(const Message& message) {
  if (std::holds_alternative<UpdateAccepted>(message)) fault_point("driver.acceptance.sent");
  if (std::holds_alternative<RoundOffer>(message)) fault_point("driver.offer.sent");
  if (std::holds_alternative<RoundClosed>(message)) fault_point("driver.closing.sent");
  if (std::holds_alternative<UpdateReady>(message)) fault_point("driver.update.announced");
  if (std::holds_alternative<Chunk>(message)) fault_point("driver.chunk.served");
  if (std::holds_alternative<MaskedReady>(message)) fault_point("driver.masked.sent");
  if (std::holds_alternative<SecAggLetter>(message)) fault_point("driver.letter.sent");
  point_after_saying(said_in(message));
}

void point_before_handling(const Message& message) {
  if (std::holds_alternative<RoundOffer>(message)) fault_point("driver.offer.received");
  if (std::holds_alternative<UpdateReady>(message)) fault_point("driver.update.received");
  if (std::holds_alternative<UpdateAccepted>(message)) fault_point("driver.acceptance.received");
  if (std::holds_alternative<MaskedReady>(message)) fault_point("driver.masked.received");
  point_before_hearing(said_in(message));
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
  const Batch batch = command.batch;
  parts_.executor.persist(std::move(command), completion());
  point_while_saving(batch);
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
  const bool masks = std::holds_alternative<MaskUpdate>(command.work);
  const bool checks = std::holds_alternative<CheckMasked>(command.work);
  const bool opens = std::holds_alternative<Unmask>(command.work);
  parts_.executor.start(std::move(command), completion());
  if (trains) fault_point("driver.training.begun");
  if (masks) fault_point("driver.masking.begun");
  if (checks) fault_point("driver.masked.checking");
  if (opens) fault_point("driver.opening.begun");
}

}  // namespace covey::crash
