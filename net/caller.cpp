#include <algorithm>

#include "core/base/clock.h"
#include "net/blob_transfer.h"
#include "net/dial_transport.h"
#include "net/reactor.h"

namespace covey {
namespace {

constexpr int kRejectionsMax = 3;  // a coordinator that restarts may look foreign once

bool answers(const Message& reply, const Message& request) {
  if (const auto* asked = std::get_if<OperatorRequest>(&request)) {
    const auto* said = std::get_if<OperatorReply>(&reply);
    return said != nullptr && said->id == asked->id;
  }
  return std::holds_alternative<EnrolAccepted>(reply) || std::holds_alternative<EnrolRefused>(reply);
}

class DialledCaller final : public Caller {
 public:
  DialledCaller(const DialConfig& config, const CurveKey& identity, BlobStore& blobs)
      : config_(config), identity_(identity), blobs_(blobs), transfer_(blobs, BlobTransferConfig{}) {}

  Result<void> dial() {
    COVEY_TRY(transport_, DialTransport::dial(config_, identity_, clock_, log_));
    return {};
  }

  Result<Message> call(const Message& request, Duration timeout) override {
    COVEY_CHECK(std::holds_alternative<OperatorRequest>(request) || std::holds_alternative<Enrol>(request));
    const auto send = [&] { transport_->send({config_.coordinator.curve, 1}, request); };
    std::optional<Message> reply;
    int breaks = transport_->breaks();
    send();
    COVEY_TRY_VOID(converse(timeout, [&](Incoming& incoming, BlobTransfer::Step&) {
      if (breaks != transport_->breaks()) {  // it may have been lost; all requests are idempotent
        breaks = transport_->breaks();
        send();
      }
      if (!is_bulk(incoming.message) && answers(incoming.message, request))
        reply = std::move(incoming.message);
      return reply.has_value();
    }));
    return *std::move(reply);
  }

  Result<Bytes> fetch(const BlobRef& blob, Duration timeout,
                      std::function<void(std::uint64_t bytes)> progress) override {
    const Ticket ticket = ++tickets_;
    std::optional<Result<void>> end;
    const auto take = [&](BlobTransfer::Step& step) {
      for (const Event& event : step.events) {
        if (const auto* done = std::get_if<BlobFetched>(&event); done != nullptr && done->ticket == ticket)
          end = Result<void>();
        if (const auto* failed = std::get_if<BlobFailed>(&event);
            failed != nullptr && failed->ticket == ticket)
          end = Result<void>(unexpected(failed->error));
      }
      return end.has_value();
    };
    BlobTransfer::Step first = transfer_.fetch({ticket, config_.coordinator.curve, blob}, clock_.now());
    carry(first);
    if (!take(first)) {
      std::uint64_t bytes = 0;
      const Result<void> waited = converse(timeout, [&](Incoming& incoming, BlobTransfer::Step& step) {
        if (const auto* chunk = std::get_if<Chunk>(&incoming.message);
            chunk != nullptr && chunk->blob == blob.id) {
          bytes = std::min(blob.size, bytes + chunk->bytes.size());
          if (progress) progress(bytes);
        }
        return take(step);
      });
      if (!waited && !end) {
        transfer_.cancel(ticket);
        return unexpected(waited.error());
      }
    }
    if (!*end) return unexpected(end->error());
    return blobs_.get(blob.id);
  }

  std::optional<KeyChange> key_change() const override { return change_; }

  void publish(const BlobRef& blob) override {
    transfer_.publish({blob.id, config_.coordinator.curve});
    transport_->greet();
  }

 private:
  void carry(const BlobTransfer::Step& step) {
    for (const auto& outgoing : step.outgoing) transport_->send_bulk(outgoing.to, outgoing.message);
  }

  // Until `done` says so. It sees every message, with what the transfer of blobs made of it, and after
  // each turn a Ping from nobody.
  template <class Done>
  Result<void> converse(Duration timeout, Done done) {
    const Instant end = clock_.now() + timeout;
    for (;;) {
      const Instant now = clock_.now();
      if (now >= end) return unexpected(ErrorCode::kUnavailable, "no answer: " + why());
      if (transport_->rejections() > 0 && (transport_->state() == LinkState::kRefused || transport_->state() == LinkState::kEnded))
        return unexpected(ErrorCode::kPermissionDenied, why());
      if (transport_->rejections() >= kRejectionsMax) return unexpected(ErrorCode::kPermissionDenied, why());
      Instant until = std::min(end, transport_->next_tick());
      if (const auto due = transfer_.next_tick()) until = std::min(until, *due);
      zmq_wait(transport_->sockets(), -1, until - now);
      for (Incoming& incoming : transport_->receive()) {
        BlobTransfer::Step step;
        if (const auto* changed = std::get_if<KeyChanged>(&incoming.message)) change_ = changed->change;
        if (std::holds_alternative<BulkHello>(incoming.message))
          step = transfer_.reconnected(incoming.from.peer, clock_.now());
        else if (is_bulk(incoming.message))
          step = transfer_.receive(incoming.from.peer, incoming.message, clock_.now());
        carry(step);
        if (done(incoming, step)) return {};
      }
      transport_->tick(clock_.now());
      BlobTransfer::Step step = transfer_.tick(clock_.now());
      carry(step);
      Incoming nothing{{}, Ping{}};
      if (done(nothing, step)) return {};
    }
  }

  std::string why() const {
    const std::string address = transport_->endpoint();
    if (transport_->state() == LinkState::kUp)
      return address +
             " is connected but does not answer: the coordinator is busy, or this key may not ask that";
    return describe(transport_->state(), address);
  }

  DialConfig config_;
  const CurveKey& identity_;
  BlobStore& blobs_;
  SystemClock clock_;
  NullLog log_;  // the caller's errors say it all
  BlobTransfer transfer_;
  std::unique_ptr<DialTransport> transport_;
  std::optional<KeyChange> change_;
  Ticket tickets_ = 0;
};

}  // namespace

Result<std::unique_ptr<Caller>> make_caller(const DialConfig& config, const CurveKey& identity,
                                            BlobStore& blobs) {
  auto caller = std::make_unique<DialledCaller>(config, identity, blobs);
  COVEY_TRY_VOID(caller->dial());
  return std::unique_ptr<Caller>(std::move(caller));
}

}  // namespace covey
