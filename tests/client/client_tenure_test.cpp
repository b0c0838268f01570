// How a client learns how long it is a member, warns of the end, and whose renewals it believes.
#include "client/tenure.h"
#include "tests/client/hand_driven.h"

namespace covey {
namespace {

const Instant kNow = Instant(std::chrono::hours(24 * 20'000));  // HandDriven begins then
constexpr Duration kDay = std::chrono::hours(24);

SigningKey signing_key(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return SigningKey::from_seed(Secret<32>(seed));
}

ClientConfig member(Instant until) {
  ClientConfig config;
  config.coordinator = kCoordinator;
  config.capability = {"cpu", 4, std::uint64_t{1} << 30, 10};
  config.instance = 42;
  Certificate certificate;
  certificate.name = "site-1";
  certificate.signing = signing_key(1).public_key();
  certificate.curve = PeerKey{{9}};
  certificate.delegation.members_until = until;
  config.certificate = certificate;
  config.authority = signing_key(2).public_key();
  return config;
}

Renewal renewal(Instant until, std::uint64_t serial, std::uint8_t by = 2) {
  Renewal made{PeerKey{{9}}, signing_key(1).public_key(), until, serial, {}};
  sign(made, signing_key(by));
  return made;
}

// Its store, besides.
class Member {
 public:
  explicit Member(Instant until, std::vector<Row> rows = {}) : rows_(std::move(rows)) {
    auto made = Client::create(member(until), rows_);
    REQUIRE_MESSAGE(made.has_value(), made.error().message);
    client_ = std::move(*made);
  }
  Commands operator()(const Event& event) {
    Commands commands = client_->handle(event, now);
    for (const Persist& persist : all<Persist>(commands)) {
      for (const auto& put : persist.batch.puts) rows_ = {Row{put.key, put.value}};
      for (Command& more : client_->handle(Persisted{persist.ticket}, now)) commands.push_back(std::move(more));
    }
    return commands;
  }
  Commands renewed(const Renewal& by) { return (*this)(Received{kCoordinator, MembershipRenewed{by}}); }
  Commands next_day() {
    now += kDay;
    return (*this)(TimerFired{"tenure"});
  }
  const std::vector<Row>& rows() const { return rows_; }
  Instant now = kNow;

 private:
  std::vector<Row> rows_;
  std::unique_ptr<Client> client_;
};

std::string field(const Commands& commands, const std::string& event, const std::string& name) {
  for (const WriteLog& log : all<WriteLog>(commands))
    for (const LogField& f : log.entry.fields)
      if (log.entry.event == event && f.name == name) return std::get<std::string>(f.value);
  return "";
}

}  // namespace

TEST_CASE("client tenure: warns at its start and daily, from thirty days before the end") {
  Member early(kNow + 31 * kDay);
  const Commands started = early(Started{});
  CHECK_FALSE(has_logged(started, "membership_ends_soon"));
  CHECK(timers(started, "tenure") == std::vector<Duration>{kDay});
  const Commands day = early.next_day();
  CHECK(has_logged(day, "membership_ends_soon"));
  CHECK(timers(day, "tenure") == std::vector<Duration>{kDay});
  CHECK(field(day, "membership_ends_soon", "until") == iso8601(kNow + 31 * kDay));
  CHECK(field(day, "membership_ends_soon", "text").find("covey renew site-1") != std::string::npos);
  CHECK(has_logged(early.next_day(), "membership_ends_soon"));

  Member late(kNow + 30 * kDay);
  CHECK(has_logged(late(Started{}), "membership_ends_soon"));
  Member over(kNow);
  CHECK(has_logged(over(Started{}), "membership_ended"));
  Member endless(instant_of_nanos(std::numeric_limits<std::int64_t>::max()));
  CHECK_FALSE(has_logged(endless(Started{}), "membership_ends_soon"));
}

TEST_CASE("client tenure: a renewal of its authority is kept, ends the warnings, and outlives the process") {
  Member client(kNow + 3 * kDay);
  client(Started{});
  const Renewal given = renewal(kNow + 300 * kDay, 4);
  CHECK(has_logged(client.renewed(given), "membership_renewed"));
  CHECK_FALSE(has_logged(client.next_day(), "membership_ends_soon"));
  CHECK(client.renewed(given).empty());  // told with every join
  REQUIRE(client.rows().size() == 1);
  Member again(kNow + 3 * kDay, client.rows());
  CHECK_FALSE(has_logged(again(Started{}), "membership_ends_soon"));
  CHECK(again.renewed(given).empty());
  CHECK(referenced_blobs(client.rows()).value().empty());
}

TEST_CASE("client tenure: foreign, older and repeated serials are refused; a shorter one is said aloud") {
  Member client(kNow + 3 * kDay);
  client(Started{});
  client.renewed(renewal(kNow + 300 * kDay, 4));
  const std::vector<Row> rows = client.rows();
  Renewal other = renewal(kNow + 900 * kDay, 5);
  other.curve = PeerKey{{8}};
  Renewal changed = renewal(kNow + 900 * kDay, 5);
  changed.serial = 6;
  for (const Renewal& bad : {renewal(kNow + 900 * kDay, 5, 3), other, changed, renewal(kNow + 900 * kDay, 3),
                             renewal(kNow + 900 * kDay, 4)}) {
    const Commands commands = client.renewed(bad);
    CHECK(has_logged(commands, "renewal_refused"));
    CHECK(does_nothing(commands));
  }
  CHECK(client.rows() == rows);
  CHECK_FALSE(client.renewed(renewal(kNow + 900 * kDay, 5)).empty());
  const Commands shorter = client.renewed(renewal(kNow + 2 * kDay, 6));
  CHECK(has_logged(shorter, "membership_shortened"));
  CHECK(field(shorter, "membership_shortened", "before") == iso8601(kNow + 900 * kDay));
  CHECK(has_logged(client.next_day(), "membership_ends_soon"));
}

TEST_CASE("client tenure: a coordinator whose clock ends a membership that stands does not end the process") {
  const JoinRefused over{{ErrorCode::kPermissionDenied, "the membership ended"}, 0s, kNow + 300 * kDay};
  Member client(kNow + 300 * kDay);
  client(Started{});
  client(Received{kCoordinator, JoinAccepted{"site-1"}});
  const Commands first = client(Received{kCoordinator, over});
  CHECK(all<Halt>(first).empty());
  CHECK(field(first, "membership_disputed", "until") == iso8601(kNow + 300 * kDay));
  CHECK(timers(first, "join").size() == 1);
  const Commands again = client(TimerFired{"join"});  // at its usual waits
  CHECK(all_sent<Join>(again).size() == 1);
  CHECK(timers(again, "join").size() == 1);
  CHECK(client(Received{kCoordinator, over}).empty());  // it was said
  CHECK(has_logged(client(Received{kCoordinator, JoinAccepted{"site-1"}}), "client_joined"));
  CHECK(has_logged(client(Received{kCoordinator, over}), "membership_disputed"));

  const Commands revoked = client(Received{kCoordinator, JoinRefused{{ErrorCode::kPermissionDenied, "revoked"}, 0s}});
  CHECK(only<Halt>(revoked).exit_code == 5);
}

TEST_CASE("client tenure: an end that its own clock and documents see ends the process, and a renewal counts") {
  const JoinRefused over{{ErrorCode::kPermissionDenied, "the membership ended"}, 0s, kNow + 2 * kDay};
  Member client(kNow + 2 * kDay);
  client(Started{});
  client(Received{kCoordinator, JoinAccepted{"site-1"}});
  client.renewed(renewal(kNow + 5 * kDay, 1));
  client.now = kNow + 5 * kDay - 1s;
  CHECK(all<Halt>(client(Received{kCoordinator, over})).empty());
  client.now = kNow + 5 * kDay;
  CHECK(only<Halt>(client(Received{kCoordinator, over})).exit_code == 5);
}

TEST_CASE("client tenure: only its coordinator is heard") {
  Member client(kNow + 3 * kDay);
  client(Started{});
  const Commands commands = client(Received{{PeerKey{{1}}, 1}, MembershipRenewed{renewal(kNow + 300 * kDay, 4)}});
  CHECK(does_nothing(commands));
  CHECK(client.rows().empty());
}

TEST_CASE("client tenure: a row that does not verify is refused by name") {
  Member client(kNow + 3 * kDay);
  client(Started{});
  client.renewed(renewal(kNow + 300 * kDay, 4));
  const Row good = client.rows().at(0);
  std::vector<Bytes> bad{{}, Bytes(good.value.begin(), good.value.end() - 1), good.value, good.value, good.value};
  bad[2].push_back(0);
  bad[3].back() ^= 1;  // the signature
  bad[4][10] ^= 1;     // the key
  for (const Bytes& value : bad) {
    const auto made = Client::create(member(kNow), {{good.key, value}});
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == ErrorCode::kCorrupted);
    CHECK(made.error().message.find("renewal") != std::string::npos);
  }
  ClientConfig nobody = member(kNow);
  nobody.certificate.reset();
  CHECK_FALSE(Client::create(nobody, {good}).has_value());
  CHECK(Client::create(member(kNow), {good}).has_value());
}

}  // namespace covey
