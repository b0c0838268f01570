// A client's standing with its coordinator: joining with backoff, heartbeats, joining again.
#pragma once
#include <optional>
#include <string_view>

#include "client/client.h"
#include "client/outbox.h"

namespace covey::client {

class Presence {
 public:
  Presence(const ClientConfig& config, ClientOutbox& out);  // both outlive this

  bool started() const { return standing_ != Standing::kNew; }
  bool joined() const { return standing_ == Standing::kJoined; }
  bool halted() const { return standing_ == Standing::kHalted; }

  void start();
  void stop();  // Leave, then Halt
  bool on_timer(std::string_view name, Instant now);  // false: not one of its own

  // The refusal that an answer amounts to whose chosen version this client does not speak.
  std::optional<JoinRefused> foreign(const JoinAccepted& message) const;
  bool on(const JoinAccepted& message, Instant now);  // true: joined by this
  bool refused_for_good(const JoinRefused& message) const;
  void on(const JoinRefused& message);  // halts if refused for good
  void on(const HeartbeatAck& message, Instant now);
  void on(const Ping& message);
  bool on(const RejoinRequired& message);  // true: joining again because of this

 private:
  enum class Standing { kNew, kJoining, kJoined, kHalted };
  void join_again(const char* why);
  void send_join();
  void wait_to_join(Duration least);
  void beat();

  const ClientConfig& config_;
  ClientOutbox& out_;
  Random jitter_;
  Standing standing_ = Standing::kNew;
  Duration backoff_;   // before the next Join, if this one is not answered
  Instant last_ack_;
};

}  // namespace covey::client
