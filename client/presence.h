// A client's standing with its coordinator: joining with backoff, heartbeats, joining again. Every
// start of a coordinator has a higher epoch; the highest seen is kept, and a coordinator with a lower
// one, put back to an older state, is not worked for: it may release again what it released before.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "client/client.h"
#include "client/outbox.h"

namespace covey::client {

class Presence {
 public:
  Presence(const ClientConfig& config, ClientOutbox& out);  // both outlive this

  static constexpr std::string_view kRow = "epoch";
  Result<void> load(const Row& row);  // of that key; errors: kCorrupted naming it

  bool started() const { return standing_ != Standing::kNew; }
  bool joined() const { return standing_ == Standing::kJoined; }
  bool saving() const { return standing_ == Standing::kJoining && saving_ != 0; }  // joined once its epoch is durable
  bool halted() const { return standing_ == Standing::kHalted; }

  void start();
  void stop();  // Leave, then Halt
  bool on_timer(std::string_view name, Instant now);  // false: not one of its own

  // The refusal that an answer amounts to whose chosen version this client does not speak.
  std::optional<JoinRefused> foreign(const JoinAccepted& message) const;
  bool on(const JoinAccepted& message, Instant now);  // true: joined by this
  bool on(const Persisted& event, Instant now);       // the same
  bool refused_for_good(const JoinRefused& message) const;
  void on(const JoinRefused& message);  // halts if refused for good
  // Refused because by the coordinator's clock our membership ended, which by our own stands until `until`: joins again
  // at its usual waits, for as long as it takes to set the clock right.
  void disputed(const JoinRefused& message, Instant until, Instant now);
  void on(const HeartbeatAck& message, Instant now);
  void on(const Ping& message);
  bool on(const RejoinRequired& message);  // true: joining again because of this

 private:
  enum class Standing { kNew, kJoining, kJoined, kHalted };
  void join_again(const char* why);
  void join_accepted(Instant now);
  void refuse_older(std::uint64_t epoch);
  void send_join();
  void wait_to_join(Duration least);
  void beat();

  const ClientConfig& config_;
  ClientOutbox& out_;
  Random jitter_;
  Standing standing_ = Standing::kNew;
  Duration backoff_;   // before the next Join, if this one is not answered
  Instant last_ack_;
  std::uint64_t epoch_ = 0;  // the highest seen
  Ticket saving_ = 0;        // the write of epoch_, until it is durable
  JoinAccepted accepted_;    // its latest answer
  bool disputed_ = false;    // and it was said; until it has joined
};

}  // namespace covey::client
