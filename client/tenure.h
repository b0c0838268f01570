// How long this client is a member: warns before its membership ends, and keeps the newest renewal that
// its coordinator hands it, once it has verified that it is the authority's and for this node.
#pragma once
#include <optional>
#include <string_view>

#include "client/client.h"
#include "client/outbox.h"

namespace covey::client {

inline constexpr Duration kTenureInterval = std::chrono::hours(24);  // between two looks at it

class Tenure {
 public:
  Tenure(const ClientConfig& config, ClientOutbox& out) : config_(config), out_(out) {}  // both outlive this

  static constexpr std::string_view kRow = "renewal";
  Result<void> load(const Row& row);  // of that key; errors: kCorrupted naming it

  void start(Instant now);
  // Whether, by what the authority signed and by our clock, we are a member. Without a certificate: no.
  bool stands(Instant now) const { return config_.certificate && now < end(); }
  Instant end() const { return membership_end(*config_.certificate, renewal_); }  // with a certificate
  bool on_timer(std::string_view name, Instant now);  // false: not its own
  void on(const MembershipRenewed& message);
  bool on(const Persisted& event);                    // false: not its own

 private:
  void look(Instant now);
  void refuse(const Renewal& renewal, const std::string& why);

  const ClientConfig& config_;
  ClientOutbox& out_;
  std::optional<Renewal> renewal_;  // the newest
  Ticket saving_ = 0;               // the write of renewal_, until it is durable
  Instant before_;                  // the end that renewal_ replaced
};

}  // namespace covey::client
