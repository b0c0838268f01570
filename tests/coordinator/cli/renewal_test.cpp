#include "coordinator/cli/renewal.h"

#include <doctest/doctest.h>

namespace covey::cli {
namespace {

const Instant kNow = instant_of_nanos(1'700'000'000'000'000'000);

NodeSummary node(const std::string& name, std::uint8_t key, bool revoked = false) {
  NodeSummary row;
  row.name = name;
  row.key.bytes.fill(key);
  row.revoked = revoked;
  row.members_until = kNow + kMembershipDefault;
  return row;
}

}  // namespace

TEST_CASE("renewal: the node that is meant is found by name or key, never by guess") {
  const std::vector<NodeSummary> nodes{node("site-1", 0x11), node("site-2", 0x22), node("site-1", 0x33, true),
                                       node("old", 0x44, true), node("222222", 0x55)};
  CHECK(choose_node(nodes, "site-1").value().key == nodes[0].key);
  CHECK(choose_node(nodes, "11111111").value().key == nodes[0].key);
  CHECK(choose_node(nodes, "333333").value().revoked);
  CHECK(choose_node(nodes, "old").value().revoked);  // the coordinator says why not
  CHECK(choose_node(nodes, "11111").error().code == ErrorCode::kNotFound);
  CHECK(choose_node(nodes, "site-3").error().code == ErrorCode::kNotFound);
  const auto several = choose_node(nodes, "222222");
  REQUIRE_FALSE(several.has_value());
  CHECK(several.error().message.find("site-2") != std::string::npos);
}

TEST_CASE("renewal: serials rise, also past those of a state that was lost") {
  NodeSummary one = node("site-1", 1);
  CHECK(next_serial(one, kNow) == 1'700'000'000);
  one.renewal = 1'700'000'000;
  CHECK(next_serial(one, kNow) == 1'700'000'001);
  CHECK(next_serial(one, kNow - 1000h) == 1'700'000'001);  // the clock was set back
  CHECK(next_serial(node("site-2", 2), Instant{}) == 1);
}

TEST_CASE("renewal: is signed for the node's own keys") {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = 7;
  const SigningKey authority = SigningKey::from_seed(Secret<32>(seed));
  NodeSummary one = node("site-1", 1);
  one.signing = authority.public_key();
  Certificate certificate;
  certificate.name = one.name;
  certificate.curve = one.key;
  certificate.signing = one.signing;
  const Renewal made = make_renewal(one, kNow + 24h, kNow, authority);
  CHECK(made.valid_until == kNow + 24h);
  CHECK(verify(made, certificate, authority.public_key()).has_value());
}

TEST_CASE("renewal: standing is said from thirty days before the end, but not of who is revoked") {
  NodeSummary one = node("site-1", 1);
  CHECK(standing_of(one, kNow).empty());
  CHECK(standing_of(one, one.members_until - kMembershipWarning) == "ends soon");
  CHECK(standing_of(one, one.members_until) == "ended");
  one.revoked = true;
  CHECK(standing_of(one, one.members_until).empty());
}

}  // namespace covey::cli
