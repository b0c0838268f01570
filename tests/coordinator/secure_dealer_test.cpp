// Jobs one of whose members lies in what it deals: where its secret opens the sum is exact, else the round is consumed
// and the job goes on without it.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/secure_play.h"

namespace covey {
namespace {

struct Lied : SecurePlay {
  std::uint8_t liar;
  std::vector<float> initial;
  std::map<std::uint32_t, std::set<std::uint8_t>> offered;  // by round

  explicit Lied(std::uint8_t members, std::uint8_t who, const DealerLies& lies, std::uint32_t rounds = 3)
      : SecurePlay(members), liar(who) {
    dealers[who] = lies;
    begin(secure_job("deadline_s = 60\n", rounds));
    initial = d.latest_model();
    hold = [this](std::uint8_t n, const Message& message) {
      if (const auto* offer = std::get_if<RoundOffer>(&message)) offered[offer->key.round].insert(n);
      return false;
    };
  }
  std::vector<RoundMetrics> metrics() { return std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics; }
  PeerKey liars_key() { return d.client(liar).key(); }
  void check_blamed() {
    const auto blamed = chains_of(d).of(AuditKind::kBlamed);
    REQUIRE(blamed.size() == 1);
    CHECK(blamed[0].who == liars_key());
    for (std::uint32_t round = 2; round <= 4; ++round) CHECK_FALSE(offered[round].contains(liar));
    CHECK_MESSAGE(d.job().state == JobState::kFinished, d.job().text);
    CHECK(d.store.scan("liar/").value().empty());  // with the job
  }
};

}  // namespace

TEST_CASE("lying dealer: a wrong commitment costs nothing but its dealer, which is not asked again") {
  for (const std::uint8_t members : {std::uint8_t{5}, std::uint8_t{7}}) {
    Lied lied(members, 2, {.commitment = true}, 2);
    std::vector<float> expected;
    lied.hold = [&](std::uint8_t n, const Message& message) {
      if (const auto* offer = std::get_if<RoundOffer>(&message)) {
        if (offer->key.round == 2 && expected.empty()) expected = lied.expected(lied.all_but({}), lied.initial);
        lied.offered[offer->key.round].insert(n);
      }
      if (!expected.empty() && lied.d.job().round == 1) CHECK(lied.d.latest_model() == expected);
      return false;
    };
    lied.finish(200);
    lied.check_blamed();
    const auto metrics = lied.metrics();
    REQUIRE(metrics.size() == 3);
    CHECK(metrics[0].delivered == members);
    CHECK(metrics[1].delivered == members - 1);
    CHECK_FALSE(expected.empty());
    CHECK(chains_of(lied.d).of(AuditKind::kConsumed).empty());
  }
}

TEST_CASE("lying dealer: where its secret does not open, the round is consumed, and the next trains from the same model") {
  for (const DealerLies& lies : {DealerLies{.self_mask = true}, DealerLies{.self_polynomial = true},
                                 DealerLies{.commitment = true, .self_polynomial = true, .masking_key = true}}) {
    Lied lied(6, 4, lies);
    lied.finish(200);
    lied.check_blamed();
    const auto metrics = lied.metrics();
    REQUIRE(metrics.size() == 4);
    CHECK(metrics[0].delivered == 0);
    CHECK(metrics[1].delivered == 5);
    CHECK(metrics[2].delivered == 5);
    const Chains chains = chains_of(lied.d);
    const AuditEntry consumed = chains.only(AuditKind::kConsumed);
    CHECK(consumed.round.round == 1);
    CHECK(consumed.number == 1);  // its ledger record stays
    CHECK(consumed.subject != Digest{});
    CHECK(chains.ledger.size() == 4);
    CHECK(lied.d.logged("round_consumed") == 1);
    CHECK(lied.d.logged("secagg_barred") == 1);
  }
}

TEST_CASE("lying dealer: wrong shares of its masking key, and then it is gone: its neighbours' seeds open the sum, or it is consumed") {
  bool seeds = false;
  Lied lied(7, 3, {.masking_key = true}, 2);
  lied.hold = [&](std::uint8_t n, const Message& message) {
    if (const auto* offer = std::get_if<RoundOffer>(&message)) lied.offered[offer->key.round].insert(n);
    const auto* note = std::get_if<SecAggNote>(&message);
    const auto said = note == nullptr ? Result<SecAggMessage>(unexpected(ErrorCode::kNotFound, "")) : decode_secagg_message(note->content);
    if (!said) return false;
    const bool asked = std::holds_alternative<SeedsRequestMessage>(*said);
    return (n == lied.liar && std::holds_alternative<MaskOrderMessage>(*said)) || (asked && n == 5 && !seeds);
  };
  SUBCASE("all of them answer") { seeds = true; }
  SUBCASE("one does not") {}
  lied.finish(200);
  lied.check_blamed();
  const auto metrics = lied.metrics();
  REQUIRE(metrics.size() == 3);
  CHECK(metrics[0].delivered == (seeds ? 6 : 0));
  CHECK(metrics[1].delivered == 6);
  std::size_t named = 0;
  for (const Row& row : lied.d.store.scan("journal/").value())
    named += std::string(row.value.begin(), row.value.end()).find(lied.d.client(5).certificate.name + " did not tell what they masked with") != std::string::npos ? 1 : 0;
  CHECK(named == (seeds ? 0 : 1));
}

TEST_CASE("lying dealer: a dropped key that too few shares are here to judge, and that seeds make up for, is in the journal") {
  Lied lied(5, 3, {.masking_key = true}, 2);
  lied.hold = [&](std::uint8_t n, const Message& message) {
    const auto* note = std::get_if<SecAggNote>(&message);
    return n == lied.liar && note != nullptr && note->key.round == 1 && is_note<MaskOrderMessage>(message);
  };
  lied.finish(200);
  CHECK_MESSAGE(lied.d.job().state == JobState::kFinished, lied.d.job().text);
  CHECK(lied.metrics().at(0).delivered == 4);
  std::size_t said = 0;
  for (const Row& row : lied.d.store.scan("journal/").value())
    said += std::string(row.value.begin(), row.value.end()).find("what their neighbours masked with them did as well") != std::string::npos ? 1 : 0;
  CHECK(said == 1);
  CHECK(chains_of(lied.d).of(AuditKind::kBlamed).empty());
}

TEST_CASE("lying dealer: a crash of the coordinator at any event, and it is blamed and left out all the same") {
  std::uint64_t events = 0;
  for (std::uint64_t at = 0; at <= events; at += at < 3 ? 1 : 3) {
    Lied lied(5, 2, {.self_polynomial = true}, 2);
    const std::uint64_t before = lied.d.handled;
    if (at > 0) lied.d.crash_at = before + at;
    lied.d.crash_how = at % 2 == 0 ? Crash::kBeforeWrites : Crash::kAfterWrites;
    CAPTURE(at);
    lied.finish(300);
    REQUIRE(lied.d.alive());
    if (at == 0) events = lied.d.handled - before;
    CHECK_MESSAGE(lied.d.job().state == JobState::kFinished, lied.d.job().text);
    const Chains chains = chains_of(lied.d);
    CHECK(chains.of(AuditKind::kConsumed).size() <= 1);
    CHECK(chains.of(AuditKind::kBlamed).size() <= 1);
    std::uint32_t consumed = 0;
    for (const AuditEntry& entry : chains.of(AuditKind::kConsumed)) consumed = entry.round.round;
    for (const auto& [round, who] : lied.offered)
      if (consumed != 0 && round > consumed) CHECK_FALSE(who.contains(lied.liar));
    REQUIRE(lied.metrics().size() >= 2);
    for (std::uint32_t round = 1; round <= 2; ++round) CHECK((lied.metrics()[round - 1].delivered == 0) == (round == consumed));
    for (const char* table : {"unmask/", "round/", "update/", "liar/"}) CHECK(lied.d.store.scan(table).value().empty());
  }
  CHECK(events > 60);
}

TEST_CASE("lying dealer: so many rounds in a row are consumed as attempts may be made, then the job fails and says so") {
  // Members that mask other vectors than they say: noise, and nobody can tell whose. None can be missed.
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\nattempts_max = 2\n[selection]\nmin_clients = 6\n", 5));
  play.noise = {1};
  play.finish(300);
  CHECK(play.d.job().state == JobState::kFailed);
  CHECK(play.d.job().text.find("the sum is noise") != std::string::npos);
  CHECK(play.d.job().text.find("the 2 rounds before it were consumed too, round.attempts_max = 2") != std::string::npos);
  CHECK(play.d.job().round == 2);
  CHECK(chains_of(play.d).of(AuditKind::kBlamed).empty());
  for (const char* table : {"rest/", "suspicion/"}) CHECK(play.d.store.scan(table).value().empty());
}

TEST_CASE("noise in every round: its sender is found by who sits out, nobody is blamed, and the job goes on without it") {
  bool restarts = false;
  SUBCASE("one coordinator") {}
  SUBCASE("a coordinator that is restarted in each round") { restarts = true; }
  for (const std::uint8_t liar : {std::uint8_t{0}, std::uint8_t{4}, std::uint8_t{6}}) {
    SecurePlay play(7);
    play.begin(secure_job("deadline_s = 60\n[selection]\nmin_clients = 5\n", 14));
    play.noise = {liar};
    std::map<std::uint32_t, std::set<std::uint8_t>> offered;
    bool again = false;
    play.hold = [&](std::uint8_t n, const Message& message) {
      const auto* offer = std::get_if<RoundOffer>(&message);
      if (offer == nullptr) return false;
      if (restarts && offer->key.round >= 2 && offered[offer->key.round].empty()) again = true;
      offered[offer->key.round].insert(n);
      return false;
    };
    for (int turn = 0; turn < 400 && play.d.logged("job_finished") + play.d.logged("job_failed") == 0; ++turn) {
      play.finish(1);
      if (std::exchange(again, false)) play.restart();
    }
    CAPTURE(liar);
    CHECK_MESSAGE(play.d.job().state == JobState::kFinished, play.d.job().text);
    const auto metrics = std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics;
    REQUIRE(metrics.size() == 15);
    std::size_t consumed = 0;
    for (std::size_t i = 0; i < 14; ++i) consumed += metrics[i].delivered == 0 ? 1 : 0;
    CHECK(consumed >= 2);
    CHECK(consumed <= 6);
    // In the end it sits out, and it alone.
    CHECK_FALSE(offered[14].contains(liar));
    CHECK(metrics[13].delivered >= 5);
    CHECK(chains_of(play.d).of(AuditKind::kBlamed).empty());
    CHECK(play.d.store.scan("suspicion/").value().empty());
  }
}

}  // namespace covey
