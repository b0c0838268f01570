#include "client/presence.h"

#include <algorithm>
#include <utility>

#include "core/base/wire.h"

namespace covey::client {
namespace {

constexpr const char* kJoinTimer = "join";
constexpr const char* kHeartbeatTimer = "heartbeat";
constexpr Duration kRetryAfterMax = std::chrono::hours(1);  // whatever the coordinator asks for
constexpr int kExitRefused = 5;
constexpr std::uint8_t kEpochVersion = 1;

std::uint32_t version_of(const JoinAccepted& message) { return std::max(message.protocol_version, 1U); }

}  // namespace

Presence::Presence(const ClientConfig& config, ClientOutbox& out)
    : config_(config), out_(out), jitter_(Random(config.instance).split("rejoin")), backoff_(config.rejoin_min) {}

Result<void> Presence::load(const Row& row) {
  ByteReader in(row.value);
  if (in.u8() != kEpochVersion) in.refuse();
  epoch_ = in.u64();
  if (epoch_ == 0 || epoch_ > kEpochMax) in.refuse();
  return in.finish("row " + row.key);
}

void Presence::start() {
  standing_ = Standing::kJoining;
  send_join();
}

void Presence::stop() {
  if (started()) out_.send(Leave{});
  out_.log(LogLevel::kInfo, "client_left");
  out_.add(Halt{0, "asked to stop"});
  standing_ = Standing::kHalted;
}

bool Presence::on_timer(std::string_view name, Instant now) {
  if (name == kJoinTimer) {
    if (standing_ == Standing::kJoining) send_join();
    return true;
  }
  if (name != kHeartbeatTimer) return false;
  if (standing_ != Standing::kJoined) return true;
  if (now - last_ack_ > kLinkTimeout)
    join_again("no answer to heartbeats");
  else
    beat();
  return true;
}

std::optional<JoinRefused> Presence::foreign(const JoinAccepted& message) const {
  const std::uint32_t version = version_of(message);
  const auto judged = negotiate({version, version}, config_.protocol);
  return judged ? std::nullopt : std::optional(JoinRefused{judged.error(), Duration{}, Instant{}});
}

bool Presence::on(const JoinAccepted& message, Instant now) {
  if (standing_ != Standing::kJoining) return false;  // answer to a repeated Join
  if (message.epoch < epoch_) {
    refuse_older(message.epoch);
    return false;
  }
  accepted_ = message;
  if (message.epoch > epoch_) {  // kept before anything is done for it
    epoch_ = message.epoch;
    saving_ = out_.ticket();
    Batch batch;
    batch.put(std::string(kRow), ByteWriter().u8(kEpochVersion).u64(epoch_).take());
    out_.add(Persist{saving_, std::move(batch)});
  }
  if (saving_ != 0) return false;
  join_accepted(now);
  return true;
}

bool Presence::on(const Persisted& event, Instant now) {
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  if (standing_ != Standing::kJoining) return false;
  join_accepted(now);
  return true;
}

// The Join that is repeated anyway asks again; meanwhile nobody waits for our updates.
void Presence::refuse_older(std::uint64_t epoch) {
  out_.log(LogLevel::kError, "coordinator_rolled_back",
           {{"epoch", epoch},
            {"seen", epoch_},
            {"text",
             "the coordinator was put back to a state older than this client has seen, and may repeat releases; this "
             "client takes part in nothing until the coordinator's epoch is at least the one seen: its operator "
             "restores the newest state, or an older one with `covey restore`, which raises the epoch"}});
  out_.send(Leave{});
}

void Presence::join_accepted(Instant now) {
  standing_ = Standing::kJoined;
  disputed_ = false;
  backoff_ = config_.rejoin_min;
  last_ack_ = now;
  out_.add(CancelTimer{kJoinTimer});
  out_.add(SetTimer{kHeartbeatTimer, kHeartbeatInterval});
  out_.log(LogLevel::kInfo, "client_joined", {{"name", accepted_.name},
                                               {"epoch", epoch_},
                                               {"protocol", version_of(accepted_)},
                                               {"reconnect_window_s", seconds(accepted_.reconnect_window)}});
}

bool Presence::refused_for_good(const JoinRefused& message) const {
  return started() && message.retry_after <= Duration::zero();  // joined or not: it may be revoked
}

void Presence::on(const JoinRefused& message) {
  const bool final = refused_for_good(message);
  if (standing_ != Standing::kJoining && !final) return;
  out_.log(final ? LogLevel::kError : LogLevel::kWarning, "join_refused",
           {{"error", name_of(message.error.code)},
            {"text", message.error.message},
            {"retry_after_s", seconds(message.retry_after)}});
  if (final) {
    out_.add(CancelTimer{standing_ == Standing::kJoined ? kHeartbeatTimer : kJoinTimer});
    out_.add(Halt{kExitRefused, "the coordinator refused this client: " + message.error.message});
    standing_ = Standing::kHalted;
    return;
  }
  wait_to_join(std::min(message.retry_after, kRetryAfterMax));
}

void Presence::disputed(const JoinRefused& message, Instant until, Instant now) {
  if (!started() || halted()) return;
  if (joined()) {
    out_.add(CancelTimer{kHeartbeatTimer});
    standing_ = Standing::kJoining;
    backoff_ = config_.rejoin_min;
    wait_to_join(Duration::zero());
  }
  if (std::exchange(disputed_, true)) return;
  out_.log(LogLevel::kWarning, "membership_disputed",
           {{"until", iso8601(until)},
            {"clock", iso8601(now)},
            {"ended", iso8601(message.ended)},
            {"text", "the coordinator's clock says that this membership is over; by what the authority signed and by this "
                     "machine's clock it stands, so one of the two clocks is wrong; it goes on asking"}});
}

void Presence::on(const HeartbeatAck&, Instant now) {
  if (joined()) last_ack_ = now;
}

void Presence::on(const Ping&) {
  if (standing_ != Standing::kJoining) return out_.send(Heartbeat{config_.instance});
  backoff_ = config_.rejoin_min;  // the link is new: a Join from before may be lost
  send_join();
}

bool Presence::on(const RejoinRequired&) {
  if (!joined()) return false;  // a Join is on its way
  join_again("the coordinator does not know this link");
  return true;
}

void Presence::join_again(const char* why) {
  out_.log(LogLevel::kWarning, "joining_again", {{"reason", why}});
  out_.add(CancelTimer{kHeartbeatTimer});
  standing_ = Standing::kJoining;
  backoff_ = config_.rejoin_min;
  send_join();
}

void Presence::send_join() {
  out_.send(Join{config_.protocol.newest, config_.instance, config_.capability, config_.protocol.oldest});
  wait_to_join(Duration::zero());
  backoff_ = std::min(backoff_ * 2, config_.rejoin_max);
}

// Between half of the backoff and all of it, so that clients that lost the same coordinator do not
// come back in step.
void Presence::wait_to_join(Duration least) {
  const double share = 0.5 + 0.5 * jitter_.uniform();
  out_.add(SetTimer{kJoinTimer, least + from_seconds(seconds(backoff_) * share)});
}

void Presence::beat() {
  out_.send(Heartbeat{config_.instance});
  out_.add(SetTimer{kHeartbeatTimer, kHeartbeatInterval});
}

}  // namespace covey::client
