// Members that deal wrong secrets. Nobody can tell before the shares are out; then the sum is opened where it can be,
// and the dealer is named where it is proven.
#include <doctest/doctest.h>

#include "tests/privacy/lying_dealer.h"
#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

using Who = std::set<std::uint32_t>;
constexpr std::uint64_t kSeed = 4711;

WorldOptions of(std::uint32_t members) {
  WorldOptions options;
  options.members = members;
  return options;
}
WorldOptions ring() {
  WorldOptions options = of(160);
  options.corrupt_max = 4;
  options.dropout_millionths = 200'000;
  options.survivors_min = 100;
  return options;
}

// A whole aggregation with one member that lies in what it deals; `gone` never send their vectors.
struct Play {
  SecAggWorld world;
  SeededBytes chance{kSeed};
  std::uint32_t dealer;

  Play(const WorldOptions& options, std::uint32_t who, const DealerLies& lies, const Who& gone = {}, const Who& silent_at_end = {})
      : world(options), dealer(who) {
    auto& person = *world.people_[dealer];
    const SecAggMember member{person.key, person.credential, world.policy_, true};
    person.client.reset();
    person.client = std::make_unique<SecAggClient>(member, world.terms(), person.book, world.work_, chance);
    world.join();
    const auto rosters = world.server_->close_joins();
    REQUIRE(rosters.has_value());
    for (std::uint32_t i = 0; i < world.people_.size(); ++i) {
      const auto said = world.act(i, (*rosters)[0].message);
      REQUIRE(said.has_value());
      const LyingDealer liar{kSeed, lies, person.key};
      const Bytes shares = i == dealer ? liar.instead_of((*said)[0], *person.client->cohort()) : (*said)[0];
      REQUIRE(world.server_->handle(shares).has_value());
    }
    world.carry(*world.server_->close_shares());
    REQUIRE(world.server_->blame().empty());  // every share opened
    world.carry(*world.server_->close_confirmations());
    for (std::uint32_t i = 0; i < world.people_.size(); ++i)
      if (!gone.contains(i)) REQUIRE(world.arrive(i));
    world.silent_ = gone;
    const auto survivors = world.server_->close_masks({});
    REQUIRE(survivors.has_value());
    world.fall_at_unmask_ = silent_at_end;
    world.carry_votes(*survivors);
    REQUIRE(world.refusals_.empty());
    REQUIRE(world.server_->can_recover());
  }
  Result<bool> exact() {
    WorkerPool pool(2);
    return world.sum_is_exact(pool);
  }
  bool named() const { return world.liars_.size() == 1 && world.liars_[0].member == dealer; }
};

}  // namespace

TEST_CASE("wrong commitment, right mask: the sum of all is exact, and the dealer is named where t + A shares say so") {
  for (const std::uint32_t members : {5U, 6U, 7U, 12U})
    for (std::uint32_t dealer : {0U, members - 1}) {
      CAPTURE(members);
      Play play(of(members), dealer, {.commitment = true});
      const auto exact = play.exact();
      REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
      CHECK(*exact);
      CHECK(play.named());
      CHECK(play.world.blame_.empty());  // no holder's fault
      CHECK(play.world.doubted_ == std::vector<std::uint32_t>{dealer});
    }
  Play on_ring(ring(), 20, {.commitment = true});
  CHECK(on_ring.exact().value_or(false));
  CHECK(on_ring.named());
}

TEST_CASE("wrong commitment, and no more than t shares: opened to what they say, the dealer doubted and not proven") {
  Play play(of(6), 2, {.commitment = true}, {}, {4, 5});
  REQUIRE(play.world.server_->cohort()->graph().threshold == 4);
  CHECK(play.exact().value_or(false));
  CHECK(play.world.liars_.empty());
  CHECK(play.world.doubted_ == std::vector<std::uint32_t>{2});
}

TEST_CASE("shares of another mask than it used: noise, and the dealer is named") {
  for (const std::uint32_t members : {5U, 7U}) {
    Play play(of(members), 1, {.self_mask = true});
    const auto exact = play.exact();
    REQUIRE(exact.has_value());
    CHECK_FALSE(*exact);
    CHECK(play.named());
    CHECK(play.world.doubted_ == std::vector<std::uint32_t>{1});
  }
}

TEST_CASE("a wrong share of its mask for one neighbour: the sum is exact, and it is the dealer or the holder, proven is neither") {
  for (const std::uint32_t members : {5U, 7U, 12U}) {
    Play play(of(members), 3, {.self_one = true});
    CHECK(play.exact().value_or(false));
    CHECK(play.world.blame_.empty());
    CHECK(play.world.liars_.empty());
    CHECK(play.world.doubted_.empty());
    for (const auto& one : play.world.disputed_) CHECK(one == Recovered::Disputed{3, 0});
    if (members > 5) CHECK(play.world.disputed_.size() == 1);
  }
}

TEST_CASE("shares of its mask on no polynomial: closed or noise, never exact, and the dealer is named") {
  for (const bool commitment : {false, true})
    for (const auto& options : {of(5), of(7), of(12), ring()}) {
      Play play(options, 3, {.commitment = commitment, .self_polynomial = true});
      CHECK_FALSE(play.exact().value_or(false));
      CHECK(play.named());
    }
}

TEST_CASE("wrong shares of its masking key do no harm while the dealer survives") {
  Play play(of(7), 3, {.masking_key = true, .key_polynomial = true});
  CHECK(play.exact().value_or(false));
  CHECK(play.world.liars_.empty());
  CHECK(play.world.doubted_.empty());
}

TEST_CASE("wrong shares of its masking key, and the dealer is gone: it is named, and its secret stays closed for itself") {
  for (const auto& lies : {DealerLies{.masking_key = true}, DealerLies{.key_polynomial = true},
                           DealerLies{.commitment = true, .self_polynomial = true, .masking_key = true}})
    for (const auto& options : {of(7), of(12), ring()}) {
      Play play(options, 3, lies, {3});
      const auto exact = play.exact();
      REQUIRE_FALSE(exact.has_value());
      CHECK(exact.error().message.find("members 3 cannot") != std::string::npos);
      CHECK(play.named());
    }
}

TEST_CASE("wrong shares of its masking key, and the dealer is gone: its neighbours tell what they masked with it, and the sum is exact") {
  WorkerPool pool(2);
  for (const auto& lies : {DealerLies{.masking_key = true}, DealerLies{.key_polynomial = true},
                           DealerLies{.commitment = true, .self_polynomial = true, .masking_key = true}})
    for (const auto& options : {of(5), of(7), of(12), ring()}) {
      Play play(options, 3, lies, {3});
      SecAggServer& server = *play.world.server_;
      const Recovered first = recover(*server.recovery(), pool);
      REQUIRE(first.unopened == std::vector<std::uint32_t>{3});
      const auto request = server.ask_seeds(first.unopened);
      REQUIRE(request.has_value());
      play.world.carry(*request);
      CHECK(play.world.refusals_.empty());
      CHECK(play.world.server_refusals_.empty());
      const auto exact = play.exact();
      REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
      CHECK(*exact);
      CHECK(play.world.doubted_.empty());
      CHECK(play.named() == (server.survivors().count() >= server.cohort()->graph().threshold + options.corrupt_max));
    }
}

TEST_CASE("a wrong seed is its teller's own malformed input: the sum is wrong, and nobody else is named") {
  WorkerPool pool(1);
  Play play(of(7), 3, {.masking_key = true}, {3});
  SecAggServer& server = *play.world.server_;
  const auto request = server.ask_seeds({3});
  for (const std::uint32_t who : (*request)[0].to) {
    auto told = std::get<PairSeedsMessage>(*decode_secagg_message((*play.world.act(who, (*request)[0].message))[0]));
    if (who == 5) told.seeds[0].seed.bytes[7] ^= 1;
    const SigningKey& key = play.world.people_[who]->key;
    told.signature = key.sign(kPairSeedsDomain, pair_seeds_statement(told));
    CHECK(server.handle(encode(SecAggMessage(told))).has_value());
    CHECK(server.handle(encode(SecAggMessage(told))).error().code == ErrorCode::kAlreadyExists);
  }
  const auto exact = play.exact();
  REQUIRE(exact.has_value());
  CHECK_FALSE(*exact);
  CHECK(play.named());
}

TEST_CASE("seeds of pairs leave after the shares alone, of members that masked and dropped out, and as they were asked for") {
  Play play(of(7), 3, {.masking_key = true}, {3});
  SecAggWorld& world = play.world;
  const AttemptId id = world.server_->cohort()->id();
  const auto asking = [&](const AttemptId& of_what, std::uint32_t members, std::initializer_list<std::uint32_t> dealers) {
    MemberSet set(members);
    for (const std::uint32_t dealer : dealers) set.insert(dealer);
    return encode(SecAggMessage(SeedsRequestMessage{of_what, set}));
  };
  AttemptId other = id;
  other.root.bytes[0] ^= 1;
  for (const Bytes& bad : {asking(id, 7, {2}), asking(id, 7, {2, 3}), asking(id, 7, {}), asking(id, 8, {3}), asking(other, 7, {3})})
    CHECK_FALSE(world.act(0, bad).has_value());
  const auto told = world.act(0, asking(id, 7, {3}));
  REQUIRE(told.has_value());
  CHECK(world.act(0, asking(id, 7, {3})).value() == *told);  // again, and the same
  CHECK_FALSE(world.server_->handle((*told)[0]).has_value());  // nobody asked for it
  CHECK_FALSE(world.server_->ask_seeds({2}).has_value());
  REQUIRE(world.server_->ask_seeds({3}).has_value());
  auto forged = std::get<PairSeedsMessage>(*decode_secagg_message((*told)[0]));
  forged.member = 1;
  CHECK_FALSE(world.server_->handle(encode(SecAggMessage(forged))).has_value());
  CHECK(world.server_->awaits(0));
  CHECK(*world.server_->due_to(0) == asking(id, 7, {3}));
  CHECK(world.server_->handle((*told)[0]).has_value());
  CHECK_FALSE(world.server_->awaits(0));
  world.people_[0]->client->close();
  CHECK_FALSE(world.act(0, asking(id, 7, {3})).has_value());
  // Before the COMMIT, and after an ABORT, nothing leaves.
  SecAggWorld early(of(7));
  REQUIRE(early.run([](Stop stop) { return stop == Stop::kMask ? Who{3} : Who{}; }, Stop::kMask).has_value());
  const Bytes request = asking(early.server_->cohort()->id(), 7, {3});
  CHECK_FALSE(early.act(0, request).has_value());
  early.carry(*early.server_->close_masks({}), {0, 1, 2, 4, 5, 6});
  early.carry(*early.server_->abort());
  REQUIRE(early.server_->phase() == SecAggServer::Phase::kAborted);
  for (std::uint32_t i = 0; i < 7; ++i)
    if (i != 3) CHECK_FALSE(early.act(i, request).has_value());
}

}  // namespace covey
