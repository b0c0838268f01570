// The coordinator's key as a client follows it: verified, durable, and only then followed.
#include "tests/client/hand_driven.h"

using namespace covey;

namespace {

SigningKey signing(std::uint8_t seed) { return SigningKey::from_seed(Secret<32>(std::array<std::uint8_t, 32>{seed})); }

KeyChange change_of(std::uint64_t serial, const SigningKey& by = signing(1)) {
  KeyChange change{signing(2).public_key(), {kCoordinator.peer, 7700, 7701}, {PeerKey{{8}}, 7702, 7703}, serial,
                   instant_of_nanos(1'000), instant_of_nanos(9'000), {}};
  sign(change, by);
  return change;
}

std::unique_ptr<Client> client_with(const std::vector<Row>& rows = {}) {
  ClientConfig config;
  config.coordinator = kCoordinator;
  config.authority = signing(1).public_key();
  config.record = signing(2).public_key();
  auto made = Client::create(std::move(config), rows);
  REQUIRE_MESSAGE(made, made.error().message);
  return std::move(*made);
}

}  // namespace

TEST_CASE("client: keeps a key change before it follows it, and once only") {
  const auto client = client_with();
  const Instant now = Instant(std::chrono::hours(24 * 20'000));
  client->handle(Started{}, now);
  const KeyChange change = change_of(5);
  const Commands kept = client->handle(Received{kCoordinator, KeyChanged{change}}, now);
  const Persist persist = only<Persist>(kept);
  CHECK(all<FollowKey>(kept).empty());
  CHECK(does_nothing(client->handle(Received{kCoordinator, KeyChanged{change}}, now)));
  CHECK(only<FollowKey>(client->handle(Persisted{persist.ticket}, now)).change == change);
  CHECK(does_nothing(client->handle(Received{kCoordinator, KeyChanged{change}}, now)));
  CHECK(client->handle(Received{kCoordinator, KeyChanged{change_of(4)}}, now).empty());  // a replay
  CHECK(all<Persist>(client->handle(Received{kCoordinator, KeyChanged{change_of(6)}}, now)).size() == 1);
}

TEST_CASE("client: a key change of another authority or coordinator is refused and not kept") {
  const auto client = client_with();
  const Instant now = Instant(std::chrono::hours(24 * 20'000));
  client->handle(Started{}, now);
  KeyChange foreign = change_of(7);
  foreign.record = signing(3).public_key();
  sign(foreign, signing(1));
  for (const KeyChange& change : {change_of(7, signing(4)), foreign}) {
    const Commands commands = client->handle(Received{kCoordinator, KeyChanged{change}}, now);
    CHECK(does_nothing(commands));
    CHECK(has_logged(commands, "key_change_refused"));
  }
}

TEST_CASE("client: its row is read again at the start, and a spoilt one stops it by name") {
  const KeyChange change = change_of(5);
  const std::vector<Row> rows{key_change_row(change)};
  CHECK(key_change_in(rows).value() == change);
  CHECK_FALSE(key_change_in({}).value());
  const auto client = client_with(rows);
  const Instant now = Instant(std::chrono::hours(24 * 20'000));
  client->handle(Started{}, now);
  CHECK(client->handle(Received{kCoordinator, KeyChanged{change}}, now).empty());
  ClientConfig config;
  config.coordinator = kCoordinator;
  for (Row row : {key_change_row(change_of(5, signing(4))), Row{"keychange", {9, 9}}}) {
    config.authority = signing(1).public_key();
    config.record = signing(2).public_key();
    const auto made = Client::create(config, {row});
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::kCorrupted);
    CHECK(made.error().message.find("keychange") != std::string::npos);
  }
}
