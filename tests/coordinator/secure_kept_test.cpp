// What a secure attempt keeps over restarts of its coordinator, so that one that is killed again and again gets on.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/secure_play.h"

namespace covey {
namespace {

std::size_t rows(Driver& d, const char* table) { return d.store.scan(table).value().size(); }

// Six members of whom one may be corrupt: t = Q = 4, and 4 make an ABORT. Whoever is in no_list sees no survivors.
struct Six : SecurePlay {
  std::set<std::uint8_t> no_list;
  explicit Six(const std::string& more = "deadline_s = 200\n") : SecurePlay(6) {
    begin(secure_job(more));
    hold = [this](std::uint8_t n, const Message& message) { return no_list.contains(n) && is_note<SurvivorsMessage>(message); };
  }
  void agreeing() {
    no_list = {3, 4, 5};
    run();
    REQUIRE(d.job().phase == "agreeing");
  }
  void other_process(std::uint8_t n) {
    people[n]->part.reset();
    ++people[n]->instance;
  }
};

}  // namespace

TEST_CASE("secure kept: the time for votes goes on where the process before stopped") {
  Six six;
  six.agreeing();
  six.pass(15);  // 60 of 100 s
  six.restart();
  six.pass(8);
  CHECK(six.d.logged("attempt_abandoned") == 0);
  six.pass(8);  // 64 more, and 16 may have been lost
  CHECK(six.d.logged("attempt_abandoned") == 1);
}

TEST_CASE("secure kept: no phase lasts for ever where the coordinator lives a few seconds each time") {
  for (const Duration life : {Duration(1500ms), Duration(4s), Duration(25s)}) {
    Six six;
    six.agreeing();
    int lives = 0;
    for (; six.d.logged("attempt_abandoned") == 0 && lives < 400; ++lives) {
      six.restart();
      six.run();
      six.d.advance(life);
    }
    CAPTURE(lives);
    CAPTURE(seconds(life));
    CHECK(lives * seconds(life) >= 90);
    CHECK(lives * seconds(life) <= 3 * 100 + 30);
  }
}

TEST_CASE("secure kept: the round's deadline passes over restarts once masks were ordered, and not before") {
  Six six("deadline_s = 40\nattempts_max = 3\n");
  six.hold = [](std::uint8_t n, const Message& message) { return n >= 2 && is_note<MaskOrderMessage>(message); };
  six.run();
  REQUIRE(six.d.job().phase == "masking");
  const std::uint32_t attempt = six.d.job().attempt;
  int lives = 0;
  for (; six.d.job().phase == "masking" && lives < 100; ++lives) {
    six.restart();
    six.run();
    six.d.advance(4s);
  }
  CHECK(lives >= 10);
  CHECK(lives <= 30);
  CHECK(six.d.job().attempt == attempt);
  CHECK(six.d.logged("attempt_abandoned") == 1);
}

TEST_CASE("secure kept: members that were started again while no coordinator ran have lost their keys") {
  Six six;
  six.agreeing();
  for (std::uint8_t n = 3; n < 6; ++n) six.other_process(n);
  six.restart();
  CHECK(six.d.logged("attempt_abandoned") == 1);
  six.no_list.clear();
  six.finish();
  CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
}

TEST_CASE("secure kept: whose keys are lost is known after a restart, also of members that are away") {
  Six six;
  six.agreeing();
  six.restart_members({3, 4});
  REQUIRE(six.d.logged("attempt_abandoned") == 0);
  six.silent = {3, 4};
  six.other_process(5);
  six.restart();
  CHECK(six.d.logged("attempt_abandoned") == 1);
}

TEST_CASE("secure kept: votes count after a restart, whoever is there") {
  Six six;
  six.agreeing();
  CHECK(rows(six.d, "vote/") == 3);
  six.silent = {0, 1, 2};
  six.no_list = {4, 5};
  six.restart();
  six.run();
  CHECK(six.d.job().phase == "unmasking");  // with the fourth
  CHECK(rows(six.d, "vote/") == 0);
  CHECK(rows(six.d, "outcome/") == 1);
}

TEST_CASE("secure kept: votes for an ABORT count after a restart, whoever is there") {
  Six six;
  six.agreeing();
  six.hold = [](std::uint8_t n, const Message& message) { return n >= 3 && is_note<AbortRequestMessage>(message); };
  six.restart_members({3, 4, 5});
  six.run();
  REQUIRE(six.d.job().phase == "aborting");
  CHECK(rows(six.d, "vote/") == 3);
  six.silent = {0, 1, 2};
  six.hold = [](std::uint8_t n, const Message& message) { return n >= 4 && is_note<AbortRequestMessage>(message); };
  six.restart();
  six.run();
  const auto outcomes = chains_of(six.d).of(AuditKind::kOutcome);
  REQUIRE(outcomes.size() == 1);
  CHECK(outcomes[0].number == static_cast<std::uint64_t>(Verdict::kAbort));
}

TEST_CASE("secure kept: a certificate, its record and its phase are one batch") {
  Six six;
  six.agreeing();
  six.hold = [&six](std::uint8_t n, const Message& message) {  // the list goes again to the fourth alone, who signs
    if (!is_note<SurvivorsMessage>(message)) return false;
    six.d.withhold_writes = six.d.withhold_writes || n == 3;
    return n > 3;
  };
  six.pass(4);
  std::size_t found = 0;
  for (const Persist& write : six.d.withheld) {
    const auto puts = [&](const char* table) {
      return std::any_of(write.batch.puts.begin(), write.batch.puts.end(), [&](const Put& put) { return put.key.starts_with(table); });
    };
    if (!puts("outcome/")) continue;
    ++found;
    CHECK(puts("audit/"));
    CHECK(puts("phase/"));
    CHECK(write.batch.deletes.size() >= 3);  // the votes
  }
  CHECK(found == 1);
  six.d.release_writes();
}

TEST_CASE("secure kept: a job that ends takes the rows of its attempts with it") {
  Six six;
  six.agreeing();
  SUBCASE("its ABORT is signed") {}
  SUBCASE("too few are there to sign") { six.silent = {0, 1, 2, 3}; }
  six.d.ask(StopJob{1});
  CHECK(six.d.job().state == JobState::kStopped);
  SUBCASE("a crash comes first") { six.restart(); }
  six.run();
  six.pass(8);
  for (const char* table : {"mask/", "phase/", "vote/", "outcome/", "unmask/", "round/", "update/"}) {
    CAPTURE(table);
    CHECK(rows(six.d, table) == 0);
  }
  six.restart();
  CHECK(six.d.job().state == JobState::kStopped);
}

TEST_CASE("secure kept: attempts that a restart ends before masks do not use up round.attempts_max") {
  Six six("deadline_s = 40\nattempts_max = 2\n");
  six.hold = [](std::uint8_t, const Message& message) { return is_note<RosterMessage>(message); };
  six.run();
  for (int times = 0; times < 5; ++times) {
    REQUIRE(six.d.job().state == JobState::kRunning);
    REQUIRE(six.d.job().phase == "sharing");
    six.restart();
    six.run();
  }
  CHECK(six.d.job().attempt == 6);
  CHECK(rows(six.d, "spared/") == 1);
  SUBCASE("the round is committed in the end") {
    six.hold = nullptr;
    six.restart();
    six.finish();
    CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
    CHECK(rows(six.d, "spared/") == 0);
  }
  SUBCASE("its own failures count") {
    six.pass(40);
    CHECK(six.d.job().state == JobState::kFailed);
    CHECK(six.d.job().text.find("attempts_max = 2") != std::string::npos);
    CHECK(rows(six.d, "spared/") == 0);
  }
}

}  // namespace covey
