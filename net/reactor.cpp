#include "net/reactor.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/thrown.h"
#include "net/blob_io_pool.h"
#include "net/blob_transfer.h"
#include "net/dial_transport.h"
#include "net/limited_log.h"
#include "net/serve_limit.h"
#include "net/transport.h"

namespace covey {
namespace {

constexpr Duration kFlushMax = std::chrono::seconds(1);
constexpr std::size_t kIoThreadsMax = 4;
constexpr int kInterrupted = 130;  // exit code after a second request to stop, as a shell counts SIGINT

// Completions from other threads. Shared with the executor's callbacks, which may outlive the reactor.
class Mailbox {
 public:
  Mailbox() : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { COVEY_CHECK(wake_ >= 0); }
  ~Mailbox() { ::close(wake_); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void put(Event event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    wake();
  }
  void put(BlobIo::Continue done) {
    {
      const std::lock_guard lock(mutex_);
      io_.push_back(std::move(done));
    }
    wake();
  }
  std::vector<BlobIo::Continue> take_io() {
    const std::lock_guard lock(mutex_);
    return std::exchange(io_, {});
  }
  std::vector<Event> take() {
    std::uint64_t count = 0;
    while (::read(wake_, &count, sizeof count) > 0) {
    }
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }
  void wake() noexcept {  // async-signal-safe
    const std::uint64_t one = 1;
    // It can fail only when the counter is full, and then the reader wakes anyway.
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
  }
  int descriptor() const { return wake_; }

 private:
  int wake_;
  std::mutex mutex_;
  std::vector<Event> events_;
  std::vector<BlobIo::Continue> io_;
};

class ReactorLoop final : public Reactor {
 public:
  ReactorLoop(std::unique_ptr<Transport> transport, ReactorParts parts)
      : transport_(std::move(transport)),
        parts_(parts),
        transfer_(parts.blobs, BlobTransferConfig{.io_by = BlobIoBy::kDriver}),
        limited_(parts.log, parts.clock),
        control_port_(transport_->control_port()),
        bulk_port_(transport_->bulk_port()),
        io_(std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kIoThreadsMax)) {}

  Result<int> run() override;
  void request_shutdown() noexcept override {
    shutdowns_.fetch_add(1);
    mailbox_->wake();
  }
  std::uint16_t control_port() const override { return control_port_; }
  std::uint16_t bulk_port() const override { return bulk_port_; }

 private:
  void wait();
  void collect();
  void handle_pending();
  void handle(const Event& event);
  std::optional<Event> next_timer(Instant now);
  bool take_completion(const Event& event);
  void carry(BlobTransfer::Step step);
  void carry_bulk(Incoming incoming);
  Executor::Completion completion() {
    return [mailbox = mailbox_](Event event) { mailbox->put(std::move(event)); };
  }

  void on(Send command) { transport_->send(command.to, command.message); }
  void on(SetTimer command) { timers_[command.name] = parts_.clock.now() + command.after; }
  void on(CancelTimer command) { timers_.erase(command.name); }
  void on(Persist command) {
    persisting_.insert(command.ticket);
    parts_.executor.persist(std::move(command), completion());
  }
  void on(FetchBlob command) { carry(transfer_.fetch(command, parts_.clock.now())); }
  void on(CancelFetch command) {
    transfer_.cancel(command.ticket, command.unfinished);
    carry({});
  }
  void on(PublishBlob command) {
    transfer_.publish(command);
    transport_->offer_blobs();
  }
  void on(WithdrawBlob command) {
    transfer_.withdraw(command.blob);
    serve_limit_.withdrawn(command.blob);
  }
  void on(EraseBlob command);
  void on(StartWork command) {
    if (erasing_ != 0) return deferred_.push_back(std::move(command));
    parts_.executor.start(std::move(command), completion());
  }
  void on(CancelWork command) {
    const auto same = [&](const StartWork& work) { return work.ticket == command.ticket; };
    if (std::erase_if(deferred_, same) == 0) return parts_.executor.cancel(command.ticket);
    mailbox_->put(Event(WorkFailed{command.ticket, Error{ErrorCode::kUnavailable, "cancelled"}}));
  }
  void erased();
  void on(AdmitPeer command) { transport_->admit(command.peer, command.admission); }
  void on(ExpelPeer command) { transport_->expel(command.peer, command.why); }
  void on(ServeKey command) {
    const Result<void> served = transport_->serve_key(command.place);
    mailbox_->put(served ? Event(WorkDone{command.ticket, KeyRotated{command.place.key}}) : Event(WorkFailed{command.ticket, served.error()}));
  }
  void on(DropKey command) { transport_->drop_key(command.key); }
  void on(FollowKey command) { transport_->follow(command.change); }
  void on(WriteLog command) { parts_.log.write(command.entry); }
  void on(Halt command);

  std::unique_ptr<Transport> transport_;
  ReactorParts parts_;
  BlobTransfer transfer_;
  ServeLimit serve_limit_;
  std::size_t erasing_ = 0;         // erasures under way
  std::deque<StartWork> deferred_;  // until there are none
  LimitedLog limited_;
  std::uint16_t control_port_;
  std::uint16_t bulk_port_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::deque<Event> pending_;
  std::map<std::string, Instant> timers_;
  std::set<Ticket> persisting_;
  std::atomic<int> shutdowns_{0};
  bool shutdown_told_ = false;
  std::optional<Result<int>> end_;
  BlobIoPool io_;  // last: its threads end before what they use
};

Result<int> ReactorLoop::run() {
  COVEY_CHECK(!end_);
  pending_.push_back(Started{});
  handle_pending();
  while (!end_) {
    wait();
    collect();
    handle_pending();
  }
  transport_->close(end_->has_value() ? kFlushMax : Duration::zero());
  return *end_;
}

void ReactorLoop::wait() {
  Instant until = transport_->next_tick();
  if (const auto due = transfer_.next_tick()) until = std::min(until, *due);
  for (const auto& [name, due] : timers_) until = std::min(until, due);
  zmq_wait(transport_->sockets(), mailbox_->descriptor(), until - parts_.clock.now());
}

// Everything that has happened, as events.
void ReactorLoop::collect() {
  for (Event& event : mailbox_->take())
    if (take_completion(event)) pending_.push_back(std::move(event));
  const int shutdowns = shutdowns_.load();
  if (shutdowns > 1) end_ = kInterrupted;
  if (shutdowns > 0 && !std::exchange(shutdown_told_, true)) pending_.push_back(ShutdownRequested{});
  if (end_) return;
  for (const BlobIo::Continue& done : mailbox_->take_io()) carry(transfer_.proceed(done, parts_.clock.now()));
  for (Incoming& incoming : transport_->receive()) {
    if (std::holds_alternative<BulkHello>(incoming.message))
      carry(transfer_.reconnected(incoming.from.peer, parts_.clock.now()));
    else if (is_bulk(incoming.message))
      carry_bulk(std::move(incoming));
    else
      pending_.push_back(Received{incoming.from, std::move(incoming.message)});
  }
  const Instant now = parts_.clock.now();
  transport_->tick(now);
  if (const auto why = transport_->hopeless(now)) end_ = Result<int>(unexpected(*why));
  carry(transfer_.tick(now));
}

// A machine never runs on unsaved state, so a failed Persist is the end.
bool ReactorLoop::take_completion(const Event& event) {
  if (const auto* persisted = std::get_if<Persisted>(&event)) persisting_.erase(persisted->ticket);
  const auto* failed = std::get_if<WorkFailed>(&event);
  if (failed == nullptr || persisting_.count(failed->ticket) == 0) return true;
  const ErrorCode code = failed->error.code;
  const bool full = code == ErrorCode::kDiskFull || code == ErrorCode::kResourceExhausted;
  parts_.log.error("persist_failed", {{"reason", failed->error.message}});
  if (!end_)
    end_ = Result<int>(unexpected(full || code == ErrorCode::kCorrupted ? code : ErrorCode::kInternal,
                                  "the state could not be saved: " + failed->error.message +
                                      (full ? "; free some space and start again" : "")));
  return false;
}

void ReactorLoop::handle_pending() {
  while (!end_) {
    if (pending_.empty()) {
      std::optional<Event> timer = next_timer(parts_.clock.now());
      if (!timer) return;
      pending_.push_back(*std::move(timer));
    }
    const Event event = std::move(pending_.front());
    pending_.pop_front();
    handle(event);
  }
}

void ReactorLoop::handle(const Event& event) {
  // An event before this one may have expelled the sender.
  if (const auto* received = std::get_if<Received>(&event);
      received && !transport_->admitted(received->from.peer))
    return;
  for (Command& command : parts_.machine.handle(event, parts_.clock.now())) {
    std::visit([&](auto& c) { on(std::move(c)); }, command);
    if (end_) return;
  }
}

std::optional<Event> ReactorLoop::next_timer(Instant now) {
  const auto first = std::min_element(timers_.begin(), timers_.end(),
                                      [](const auto& a, const auto& b) { return a.second < b.second; });
  if (first == timers_.end() || first->second > now) return std::nullopt;
  TimerFired fired{first->first};
  timers_.erase(first);
  return fired;
}

void ReactorLoop::carry_bulk(Incoming incoming) {
  const Instant now = parts_.clock.now();
  const auto* want = std::get_if<ChunkWant>(&incoming.message);
  const auto* list = std::get_if<ChunkListWant>(&incoming.message);
  const PeerKey peer = incoming.from.peer;
  const bool again = (want != nullptr && !serve_limit_.allows(peer, want->blob, now)) ||
                     (list != nullptr && !serve_limit_.allows_list(peer, list->blob.id, now));
  if (again)
    return limited_.warning("chunks_withheld",
                            {{"peer", short_hex(peer)},
                             {"blob", short_hex(want != nullptr ? want->blob : list->blob.id)},
                             {"reason", std::string("it had this blob") + (list != nullptr ? "'s list" : "") +
                                            " several times over; it may ask again in some minutes"}});
  carry(transfer_.receive(incoming.from.peer, std::move(incoming.message), now));
}

void ReactorLoop::carry(BlobTransfer::Step step) {
  for (const auto& outgoing : step.outgoing) {
    if (const auto* chunk = std::get_if<Chunk>(&outgoing.message))
      serve_limit_.served(outgoing.to, chunk->blob, chunk->index, chunk->bytes.size());
    if (const auto* list = std::get_if<ChunkList>(&outgoing.message))
      serve_limit_.served_list(outgoing.to, list->blob, list->page, list->hashes.size());
    transport_->send_bulk(outgoing.to, outgoing.message);
  }
  for (const auto& [blob, error] : step.unreadable)
    limited_.warning("blob_unreadable", {{"blob", short_hex(blob)}, {"reason", error.message}});
  for (Event& event : step.events) pending_.push_back(std::move(event));
  for (BlobIo& io : transfer_.take_io())
    io_.submit(io.blob, [&blobs = parts_.blobs, mailbox = mailbox_, run = std::move(io.run)] { mailbox->put(run(blobs)); });
}

// In line behind what the transfer does with the blob, and before what it is asked to do with it next.
void ReactorLoop::on(EraseBlob command) {
  transfer_.erased(command.blob);
  ++erasing_;
  io_.submit(command.blob, [this, mailbox = mailbox_, blob = command.blob] {
    const Result<void> outcome = caught([&] {
      parts_.blobs.drop_partial(blob);
      return parts_.blobs.erase(blob);
    });
    mailbox->put([this, blob, outcome](BlobTransfer&, Instant) {
      if (!outcome) parts_.log.warning("erase_failed", {{"blob", short_hex(blob)}, {"reason", outcome.error().message}});
      erased();
    });
  });
}

// Work may make the very value that is being erased: it begins when nothing is.
void ReactorLoop::erased() {
  if (--erasing_ != 0) return;
  for (StartWork& work : std::exchange(deferred_, {})) parts_.executor.start(std::move(work), completion());
}

void ReactorLoop::on(Halt command) {
  if (!command.text.empty()) parts_.log.info("halted", {{"reason", command.text}});
  end_ = command.exit_code;
}

}  // namespace

Result<std::unique_ptr<Reactor>> make_listener(const ListenConfig& config, ReactorParts parts) {
  COVEY_TRY(auto transport, listen_transport(config, parts.identity, parts.clock, parts.log));
  parts.log.info("listening", {{"address", config.address},
                               {"control_port", transport->control_port()},
                               {"bulk_port", transport->bulk_port()}});
  return std::unique_ptr<Reactor>(std::make_unique<ReactorLoop>(std::move(transport), parts));
}

Result<std::unique_ptr<Reactor>> make_dialer(const DialConfig& config, ReactorParts parts) {
  COVEY_TRY(auto transport, DialTransport::dial(config, parts.identity, parts.clock, parts.log));
  return std::unique_ptr<Reactor>(std::make_unique<ReactorLoop>(std::move(transport), parts));
}

}  // namespace covey
