// How secure rounds end where votes split, members lose their keys, and shares are missing.
#include "tests/coordinator/secure_play.h"

#include "coordinator/secure_attempt.h"

namespace covey {
namespace {

// Six members of whom one may be corrupt: t = Q = 4, and 4 make an ABORT.
struct Six : SecurePlay {
  std::set<std::uint8_t> no_list, no_certificate;
  Six() : SecurePlay(6) {
    begin(secure_job("deadline_s = 200\n"));
    hold = [this](std::uint8_t n, const Message& message) {
      return (no_list.contains(n) && is_note<SurvivorsMessage>(message)) || (no_certificate.contains(n) && is_note<OutcomeMessage>(message));
    };
  }
  std::size_t sent(std::uint8_t n, bool (*what)(const Message&)) {
    std::size_t count = 0;
    for (const SecAggNote& note : d.all<SecAggNote>(d.client(n).key())) count += what(note) ? 1 : 0;
    return count;
  }
  std::uint32_t attempts_of_round(std::uint32_t round) { return std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(round - 1).attempt; }
  AttemptState state(std::uint8_t n, const Digest& sid) { return people[n]->book.find(sid)->state; }
};

}  // namespace

TEST_CASE("secure end: a vote that can reach no COMMIT any more ends in an ABORT of those that voted for it, too") {
  Six six;
  six.no_list = {3, 4, 5};
  six.run();
  REQUIRE(six.d.job().phase == "agreeing");  // three signed, four are needed
  const Digest sid = six.people[0]->part->client->sid();
  CHECK(six.state(0, sid) == AttemptState::kVotedCommit);
  six.restart_members({3, 4});
  CHECK(six.d.job().phase == "agreeing");  // four hold their keys
  six.restart_members({5});
  CHECK(six.d.logged("attempt_abandoned") == 1);
  six.no_list.clear();
  SUBCASE("asked by the same coordinator") {}
  SUBCASE("asked again by one that was restarted") { six.restart(); }
  six.run();
  six.finish();
  CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
  CHECK(six.attempts_of_round(1) == 2);
  for (std::uint8_t n = 0; n < 6; ++n) CHECK(six.state(n, sid) == AttemptState::kAborted);
}

TEST_CASE("secure end: nobody is shown the COMMIT before so many hold their keys here that their shares open the sum") {
  Six six;
  six.no_list = {3, 4, 5};
  six.run();
  six.silent = {0, 1, 2};  // they voted, and are gone
  while (six.d.logged("node_lost") < 3) six.pass(1);
  REQUIRE(six.d.job().phase == "agreeing");
  six.no_list.clear();
  six.pass(4);
  CHECK(six.d.job().phase == "unmasking");
  for (std::uint8_t n = 0; n < 6; ++n) CHECK(six.sent(n, is_note<OutcomeMessage>) == 0);
  six.silent = {1, 2};
  six.d.join(six.d.client(0));  // the same process, with its keys
  six.pass(4);
  CHECK(six.sent(3, is_note<OutcomeMessage>) > 0);
  CHECK(six.d.job().round == 1);
  six.silent.clear();
}

TEST_CASE("secure end: who missed the list of survivors is sent it again with the certificate, and reveals its shares") {
  Six six;
  six.no_list = {5};
  six.no_certificate = {0, 1};
  six.run();
  REQUIRE(six.d.job().phase == "unmasking");
  CHECK(six.d.job().round == 0);  // three of four revealed
  six.no_list.clear();
  six.pass(5);
  CHECK(six.d.job().round == 1);
  CHECK(six.attempts_of_round(1) == 1);
}

TEST_CASE("secure end: whom a sum waits for is said, in the job's text and once in the journal, until it goes on") {
  Six six;
  const auto in_journal = [&](const std::string& words) {
    const auto rows = six.d.store.scan("journal/").value();
    return std::count_if(rows.begin(), rows.end(), [&](const Row& row) { return std::string(row.value.begin(), row.value.end()).find(words) != std::string::npos; });
  };
  const auto name = [&](std::uint8_t n) { return six.d.client(n).certificate.name; };
  bool agreeing = false;
  SUBCASE("for shares") { six.no_certificate = {4, 5, 3}; }
  SUBCASE("for signatures") {
    agreeing = true;
    six.no_list = {4, 5, 3};
  }
  six.run();
  REQUIRE(six.d.job().phase == (agreeing ? "agreeing" : "unmasking"));
  six.silent = {5};
  six.pass(1);
  CHECK(six.d.job().text.empty());  // it may still come
  six.pass(6);
  const std::string awaited = std::string("waiting for ") + (agreeing ? "signatures under who the survivors are" : "shares that open the sum") + " from ";
  const std::string text = six.d.job().text;
  CAPTURE(text);
  CHECK(text.find(awaited) == 0);
  CHECK(text.find(name(4)) != std::string::npos);
  CHECK(text.find(name(5) + " (away)") != std::string::npos);
  CHECK(text.find(name(0)) == std::string::npos);
  CHECK(text.find(" minutes at most") != std::string::npos);
  CHECK(in_journal(awaited) == 1);
  six.no_certificate.clear();
  six.no_list.clear();
  six.silent.clear();
  six.finish(300);
  CHECK(six.d.job().state == JobState::kFinished);
  CHECK(six.d.job().text.empty());
  CHECK(in_journal(awaited) == 1);
}

TEST_CASE("secure end: after the COMMIT, too few shares end in an ABORT while enough have revealed none, also of one that was away") {
  Six six;
  six.no_certificate = {2, 3, 4, 5};
  six.run();
  REQUIRE(six.d.job().phase == "unmasking");
  const Digest sid = six.people[0]->part->client->sid();
  CHECK(six.state(0, sid) == AttemptState::kUnmasked);
  six.silent = {5};
  six.restart_members({2, 3, 4});
  CHECK(six.d.logged("attempt_abandoned") == 1);
  six.no_certificate.clear();
  six.run();
  six.pass(60);  // twice what a job that nobody can help is given
  CHECK(six.d.job().state == JobState::kRunning);
  CHECK(six.d.job().text.find(kEndlessWords) != std::string::npos);
  CHECK(six.d.job().text.find("signed by 3 of the 4 members that it takes; others that may sign are away") != std::string::npos);
  SUBCASE("it is back") {}
  SUBCASE("the coordinator is restarted, and it is back") { six.restart(); }
  six.restart_members({5});
  six.finish(300);
  CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
  for (std::uint8_t n = 0; n < 6; ++n) CHECK(six.state(n, sid) == AttemptState::kAborted);
  CHECK(six.attempts_of_round(1) == 2);
}

TEST_CASE("secure end: a sum that can end neither way is consumed, and its members train the next round") {
  Six six;
  six.no_certificate = {3, 4, 5};
  six.run();
  REQUIRE(six.d.job().phase == "unmasking");
  const Digest sid = six.people[0]->part->client->sid();
  const std::vector<float> before = six.d.latest_model();
  six.no_certificate.clear();
  six.restart_members({3, 4, 5});  // three have revealed: no four are left for an ABORT, and no fourth share
  six.finish(300);
  CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
  CHECK(six.d.job().round == 1);
  CHECK(six.d.latest_model() == before);
  CHECK(six.state(0, sid) == AttemptState::kUnmasked);
  const auto metrics = std::get<JobDetail>(six.d.ask(ShowJob{1, 0})).metrics;
  REQUIRE_MESSAGE(metrics.size() == 2, six.d.job().text);
  CHECK(metrics[0].delivered == 0);
  CHECK(metrics[0].cohort == 6);
  CHECK(metrics[1].delivered == 6);  // the evaluation, of the same parameters under the next manifest
}

TEST_CASE("secure end: a sum whose ABORT never comes, though all who could sign it are here, is consumed, and the job goes on") {
  Six six;
  six.no_list = {3, 4, 5};
  std::set<std::uint8_t> mute{2, 3, 4, 5};  // they are there, and sign no ABORT
  const auto before = six.hold;
  six.hold = [&, before](std::uint8_t n, const Message& message) {
    return before(n, message) || (mute.contains(n) && is_note<AbortRequestMessage>(message));
  };
  six.run();
  REQUIRE(six.d.job().phase == "agreeing");
  const Digest sid = six.people[0]->part->client->sid();
  const std::vector<float> model = six.d.latest_model();
  six.no_list.clear();
  const Instant start = six.d.now;
  SUBCASE("one coordinator waits for it") { six.restart_members({3, 4, 5}); }
  SUBCASE("and one that was restarted meanwhile") {
    six.restart_members({3, 4, 5});
    six.pass(10);
    six.restart();
  }
  REQUIRE(six.d.job().round == 0);
  six.finish(400);
  CHECK_MESSAGE(six.d.job().state == JobState::kFinished, six.d.job().text);
  CHECK(six.d.now - start >= 300s);  // not before all had their time to sign
  CHECK(six.d.latest_model() == model);
  for (std::uint8_t n = 0; n < 6; ++n) CHECK(six.state(n, sid) != AttemptState::kAborted);
  const auto metrics = std::get<JobDetail>(six.d.ask(ShowJob{1, 0})).metrics;
  REQUIRE(metrics.size() == 2);
  CHECK(metrics[0].delivered == 0);
  CHECK(metrics[1].delivered == 6);  // nobody is bound to the round that is over
  for (const char* table : {"mask/", "phase/", "vote/", "outcome/", "rest/", "suspicion/"}) CHECK(six.d.store.scan(table).value().empty());
}

}  // namespace covey
