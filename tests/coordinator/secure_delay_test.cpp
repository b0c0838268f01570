// Members of secure rounds that cost time: each its own once, and no round after it.
#include <array>

#include "tests/coordinator/chains.h"
#include "tests/coordinator/secure_play.h"

namespace covey {
namespace {

std::set<std::uint32_t> rounds_offered(SecurePlay& play, std::uint8_t n) {
  std::set<std::uint32_t> rounds;
  for (const RoundOffer& offer : play.d.all<RoundOffer>(play.d.client(n).key())) rounds.insert(offer.key.round);
  return rounds;
}

}  // namespace

TEST_CASE("secure delay: a member that reveals nothing and repeats its vote puts off the opening of no sum") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  const Identity& mute = play.d.client(0);
  std::optional<SecAggNote> vote;
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (n != 0) return false;
    if (is_note<SurvivorsMessage>(message)) {  // it votes by hand, and goes on with that
      auto step = play.people[0]->part->client->handle(std::get<SecAggNote>(message).content, play.d.now);
      REQUIRE(step);
      vote = SecAggNote{std::get<SecAggNote>(message).key, step->messages.front()};
      play.d.from(mute, *vote);
      return true;
    }
    return is_note<OutcomeMessage>(message);
  };
  play.run();
  REQUIRE(vote);
  REQUIRE(play.d.job().phase == "unmasking");
  const Instant start = play.d.now;
  for (int second = 0; second < 30 && play.d.job().round == 0; ++second) {
    play.d.from(mute, *vote);
    play.d.advance(1s);
    play.run();
  }
  CHECK(play.d.job().round == 1);
  CHECK(play.d.now - start <= 4s);
}

TEST_CASE("secure delay: who lets a round wait and then fails, declines or sends wrong vectors rests as who says nothing") {
  enum class Says { kFails, kDeclines, kWrong };
  for (const Says says : {Says::kFails, Says::kDeclines, Says::kWrong}) {
    CAPTURE(static_cast<int>(says));
    SecurePlay play(6);
    play.begin(secure_job("deadline_s = 600\n", 3));
    const Identity& idle = play.d.client(0);
    std::optional<SecAggNote> order;
    play.hold = [&](std::uint8_t n, const Message& message) {
      if (n != 0 || !is_note<MaskOrderMessage>(message)) return false;
      order = std::get<SecAggNote>(message);
      return true;
    };
    std::uint64_t instance = 1;
    std::set<std::uint32_t> answered;  // the order may be on its way once more
    const Instant start = play.d.now;
    for (int turn = 0; turn < 600 && play.d.job().round < 3; ++turn) {
      beat(play, 1, [&] { return play.d.job().round == 3; });
      if (!order || play.d.now - start < order->key.round * 560s || !answered.insert(order->key.round).second) continue;
      const RoundKey key = order->key;
      if (says == Says::kDeclines) play.d.from(idle, RoundDecline{key, DeclineReason::kBusy, "not now"});
      if (says == Says::kFails) play.d.from(idle, RoundFailed{key, Error{ErrorCode::kInternal, "no"}});
      if (says == Says::kWrong) {
        SecAggClient& client = *play.people[0]->part->client;
        const auto plan = client.handle(order->content, play.d.now);
        REQUIRE_MESSAGE(plan.has_value(), (plan ? "" : plan.error().message));
        const auto lie = client.on_masked({}, play.d.now);
        REQUIRE(lie);
        const MaskedReady honest = *play.people[5]->part->ready;
        play.d.from(idle, MaskedReady{honest.key, honest.model, play.d.lay_out(idle.key(), Bytes(honest.vectors.size)), lie->messages.front(), 1});
        REQUIRE(play.d.last<UpdateRefused>(idle.key()));
      }
      order.reset();
      ++instance;
      play.d.join(idle, instance, instance);
    }
    REQUIRE(play.d.job().round == 3);
    CHECK(play.d.now - start < 700s);
    CHECK(rounds_offered(play, 0) == std::set<std::uint32_t>{1});
  }
}

TEST_CASE("secure delay: silence in any phase before the masks costs one round the phase's time, and no other") {
  enum class Misses { kInvite, kRoster, kDelivery, kOffer };
  for (const Misses misses : {Misses::kInvite, Misses::kRoster, Misses::kDelivery, Misses::kOffer}) {
    CAPTURE(static_cast<int>(misses));
    SecurePlay play(6);
    play.hold = [&](std::uint8_t n, const Message& message) {
      if (n != 0) return false;
      switch (misses) {
        case Misses::kInvite: return is_note<InviteMessage>(message);
        case Misses::kRoster: return is_note<RosterMessage>(message);
        case Misses::kDelivery: return is_note<DeliveryMessage>(message);
        case Misses::kOffer: return std::holds_alternative<RoundOffer>(message);
      }
      return false;
    };
    play.begin(secure_job("deadline_s = 64\n", 4));
    const Instant start = play.d.now;
    beat(play, 40, [&] { return play.d.job().round == 4; });
    REQUIRE(play.d.job().round == 4);
    // The first offer may have found it at the reading of its data.
    const std::uint32_t excused = misses == Misses::kOffer ? 2 : 1;
    CHECK(play.d.now - start <= excused * 8s + 4s);
    CHECK(rounds_offered(play, 0).size() == excused);
    const auto metrics = std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics;
    for (const RoundMetrics& round : metrics) CHECK(round.delivered == 5);
  }
}

TEST_CASE("secure delay: who rests for a phase is asked again where the others are not enough") {
  SecurePlay play(5);
  play.hold = [](std::uint8_t n, const Message& message) {
    const auto* note = std::get_if<SecAggNote>(&message);
    return n == 0 && note != nullptr && note->key.round == 1 && is_note<InviteMessage>(message);
  };
  play.begin(secure_job("deadline_s = 64\n[selection]\nmin_clients = 5\n", 2));
  beat(play, 40, [&] { return play.d.job().round == 2; });
  REQUIRE(play.d.job().round == 2);
  CHECK(rounds_offered(play, 0).contains(2));
}

TEST_CASE("secure delay: who let an offer pass in silence is not asked before it is heard again, so that no attempts are spent on the dead") {
  SecurePlay play(6);
  play.silent = {0, 1, 2};  // their processes were killed, and their links are not lost yet
  play.begin(secure_job("deadline_s = 64\nattempts_max = 2\n"));
  play.run();
  for (int second = 0; second < 15; ++second) {
    play.d.advance(1s);
    for (const std::uint8_t n : std::array<std::uint8_t, 3>{3, 4, 5})
      if (second % 4 == 0) play.d.from(play.d.client(n), Heartbeat{1});
    play.run();
  }
  CHECK(play.d.logged("node_lost") == 0);
  CHECK(play.d.logged("attempt_abandoned") == 1);
  REQUIRE(play.d.job().state == JobState::kRunning);
  CHECK(play.d.job().text.find("waiting for clients: 3 of 4 there") == 0);
  play.silent.clear();
  play.finish();
  INFO(play.d.job().text);
  CHECK(play.d.job().state == JobState::kFinished);
}

TEST_CASE("secure delay: what members say again while one is silent is no fault of theirs") {
  SecurePlay play(6);
  play.hold = [](std::uint8_t n, const Message& message) { return n == 0 && is_note<DeliveryMessage>(message); };
  play.begin(secure_job("deadline_s = 64\n"));
  play.run();
  REQUIRE(play.d.job().phase == "confirming");
  std::size_t said = 0;
  const RoundKey key = play.people[1]->part->offer.key;
  for (const auto& [asked, answers] : play.people[1]->part->answers)
    for (const Bytes& answer : answers) {
      play.d.from(play.d.client(1), SecAggNote{key, answer});
      ++said;
    }
  CHECK(said == 3);  // its join, its shares, its confirmation
  CHECK(play.d.logged("secagg_refused") == 0);
}

}  // namespace covey
