// Members that lie about shares which they hold, or that deal a holder a wrong one: who is named, who rests, and that the
// job goes on.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/secure_play.h"

namespace covey {
namespace {

struct Held : SecurePlay {
  std::map<std::uint32_t, std::set<std::uint8_t>> offered;  // by round
  std::set<std::uint32_t> dropping;                         // rounds in which these are told nothing of the order to mask
  std::set<std::uint8_t> dropouts{4};

  explicit Held(std::uint8_t members, const std::string& more = "", std::uint32_t rounds = 3) : SecurePlay(members) {
    begin(secure_job("deadline_s = 60\n" + more, rounds));
    hold = [this](std::uint8_t n, const Message& message) {
      if (const auto* offer = std::get_if<RoundOffer>(&message)) offered[offer->key.round].insert(n);
      const auto* note = std::get_if<SecAggNote>(&message);
      if (note == nullptr || !dropouts.contains(n) || !dropping.contains(note->key.round)) return false;
      const auto said = decode_secagg_message(note->content);
      return said && std::holds_alternative<MaskOrderMessage>(*said);
    };
  }
  std::vector<RoundMetrics> metrics() { return std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics; }
  std::size_t said(const std::string& text) {
    std::size_t count = 0;
    for (const Row& row : d.store.scan("journal/").value())
      count += std::string(row.value.begin(), row.value.end()).find(text) != std::string::npos ? 1 : 0;
    return count;
  }
};

}  // namespace

TEST_CASE("lying holder: with one honest dropout nobody is caught for it, and the next round proves who it is") {
  constexpr std::uint8_t kLiar = 2;  // at a place whose shares are among the first t: later ones are not looked at
  Held held(5);
  held.holders[kLiar] = std::nullopt;
  held.dropping = {1};
  held.finish(300);
  CHECK_MESSAGE(held.d.job().state == JobState::kFinished, held.d.job().text);
  const auto metrics = held.metrics();
  REQUIRE(metrics.size() == 4);
  CHECK(metrics[0].delivered == 0);
  CHECK(metrics[1].delivered == 4);
  CHECK(metrics[2].delivered >= 3);
  CHECK(held.offered[2].contains(kLiar));
  CHECK_FALSE(held.offered[2].contains(4));  // it held the round up and rests; nobody else does
  CHECK_FALSE(held.offered[3].contains(kLiar));
  const Chains chains = chains_of(held.d);
  CHECK(chains.only(AuditKind::kBlamed).who == held.d.client(kLiar).key());
  CHECK(chains.only(AuditKind::kConsumed).text.find("more members than may lie (1)") != std::string::npos);
}

TEST_CASE("lying holder: where each round has a dropout, the job ends by its bound and says what was seen, nobody is blamed") {
  Held held(5, "attempts_max = 2\n[selection]\nmin_clients = 5\n", 5);  // so few that nobody may rest
  held.holders[1] = std::nullopt;
  held.dropping = {1, 2, 3, 4, 5};
  held.finish(300);
  CHECK(held.d.job().state == JobState::kFailed);
  CHECK_MESSAGE(held.d.job().text.find("more members than may lie") != std::string::npos, held.d.job().text);
  CHECK(held.d.job().round == 2);
  for (std::uint32_t round = 1; round <= 3; ++round) CHECK(held.offered[round].size() == 5);
  CHECK(chains_of(held.d).of(AuditKind::kBlamed).empty());
}

TEST_CASE("lying holder: a dealer that may be meant by it sits one round out and is asked again") {
  Held held(7, "", 4);
  held.dropouts = {4, 5};  // they rest too: seven, so that enough are left without them and the dealer
  held.holders[1] = std::uint8_t{0};
  held.dropping = {1};
  held.finish(300);
  CHECK_MESSAGE(held.d.job().state == JobState::kFinished, held.d.job().text);
  CHECK_FALSE(held.offered[2].contains(0));
  CHECK(held.offered[3].contains(0));
  const auto metrics = held.metrics();
  REQUIRE(metrics.size() == 5);
  CHECK(metrics[0].delivered == 0);
  CHECK(metrics[1].delivered == 4);
  CHECK(metrics[2].delivered >= 5);
  CHECK(chains_of(held.d).of(AuditKind::kBlamed).empty());
}

TEST_CASE("lying holder: no suspicion takes the willing below min_clients") {
  Held held(5, "[selection]\nmin_clients = 5\n");
  held.holders[1] = std::uint8_t{0};
  held.dropping = {1};
  held.finish(300);
  CHECK_MESSAGE(held.d.job().state == JobState::kFinished, held.d.job().text);
  for (std::uint32_t round = 1; round <= 3; ++round) CHECK(held.offered[round].size() == 5);
  CHECK(held.metrics().size() == 4);
}

TEST_CASE("lying dealer: a wrong share for one honest holder blames nobody, and nobody rests") {
  Held held(7);
  held.dealers[3] = {.self_one = true};
  held.finish(300);
  CHECK_MESSAGE(held.d.job().state == JobState::kFinished, held.d.job().text);
  for (const RoundMetrics& round : held.metrics()) CHECK(round.delivered == 7);
  for (std::uint32_t round = 1; round <= 3; ++round) CHECK(held.offered[round].size() == 7);
  CHECK(chains_of(held.d).of(AuditKind::kBlamed).empty());
  CHECK(held.said("which of two members lied is not proven") > 0);
}

}  // namespace covey
