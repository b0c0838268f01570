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

TEST_CASE("wrong shares of its masking key, and the dealer is gone: it is named, and its secret stays closed") {
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

}  // namespace covey
