// Whole aggregations: the sum is exact whoever drops out, and where it cannot be, nothing is opened.
#include <doctest/doctest.h>

#include <set>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

using Who = std::set<std::uint32_t>;
std::function<Who(Stop)> dropping(Stop at, Who who) {
  return [=](Stop stop) { return stop == at ? who : Who{}; };
}

TEST_CASE("sum equals plaintext, all n, b in {8,16,20,32}: bit-exact") {
  WorkerPool pool(2);
  for (std::uint32_t n = 3; n <= 12; ++n) {
    WorldOptions options;
    options.members = n;
    options.dropout_millionths = 0;
    options.survivors_min = 3;
    options.vectors = {{"a", 16, 5}, {"b", 20, 7}, {"c", 32, 3}, {"d", 21, 2}};
    options.seed = n;
    SecAggWorld world(options);
    world.policy_.survivors_min = world.policy_.honest_min = 2;
    REQUIRE(world.run().has_value());
    REQUIRE(world.refusals_.empty());
    const auto exact = world.sum_is_exact(pool);
    REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
    CHECK(*exact);
  }
  WorldOptions narrow;
  narrow.vectors = {{"a", 8, 100}};
  SecAggWorld world(narrow);
  for (auto& person : world.people_)
    for (auto& value : person->input[0]) value = value % 20;  // six of them stay within a byte
  REQUIRE(world.run().has_value());
  CHECK(*world.sum_is_exact(pool));
}

TEST_CASE("drop at each of R0-R4, 0-delta: exact survivor sum; > delta: clean abort") {
  WorkerPool pool(2);
  for (const Stop at : {Stop::kShare, Stop::kConfirm, Stop::kMask, Stop::kVote, Stop::kUnmask})
    for (const Who& who : {Who{}, Who{0}, Who{1}, Who{2}, Who{3}, Who{4}, Who{5}, Who{6}, Who{0, 6}}) {
      WorldOptions options;
      options.members = 7;
      SecAggWorld world(options);
      REQUIRE(world.run(dropping(at, who)).has_value());
      CHECK(world.refusals_.empty());
      CHECK(world.server_refusals_.empty());
      const std::uint32_t survivors = at >= Stop::kVote ? 7 : 7 - static_cast<std::uint32_t>(who.size());
      CHECK(world.server_->survivors().count() == survivors);
      const auto exact = world.sum_is_exact(pool);
      REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
      CHECK(*exact);
    }
  for (const Stop at : {Stop::kShare, Stop::kConfirm, Stop::kMask}) {
    WorldOptions options;
    options.members = 7;
    SecAggWorld world(options);
    const auto ran = world.run(dropping(at, {0, 1, 2, 3}));
    REQUIRE_FALSE(ran.has_value());
    CHECK(ran.error().code == ErrorCode::kUnavailable);
    CHECK_FALSE(world.server_->can_recover());
  }
  for (const Stop at : {Stop::kVote, Stop::kUnmask}) {
    WorldOptions options;
    options.members = 7;
    SecAggWorld world(options);
    REQUIRE(world.run(dropping(at, {0, 1, 2, 3})).has_value());
    CHECK_FALSE(world.server_->can_recover());
    CHECK_FALSE(world.server_->close_unmasking().has_value());
  }
}

TEST_CASE("one who does not join leaves the others a cohort of their own") {
  WorkerPool pool(1);
  WorldOptions options;
  options.members = 7;
  SecAggWorld world(options);
  world.config_.members_min = 5;
  world.begin();
  REQUIRE(world.run(dropping(Stop::kJoin, {6})).has_value());
  CHECK(world.server_->cohort()->members() == 6);
  CHECK(*world.sum_is_exact(pool));
}

TEST_CASE("a ring of 160 members with drops in every phase: exact, on any number of threads") {
  WorldOptions options;
  options.members = 160;
  options.corrupt_max = 4;
  options.dropout_millionths = 200'000;
  options.survivors_min = 100;
  options.vectors = {{"update", 20, 1000}};
  std::vector<std::int64_t> sums[2];
  for (const std::size_t threads : {1U, 3U}) {
    WorkerPool pool(threads);
    SecAggWorld world(options);
    const Graph graph = *graph_of(world.config_, 160);
    REQUIRE_FALSE(graph.complete);
    REQUIRE(graph.degree < 150);
    const auto ran = world.run([](Stop stop) {
      switch (stop) {
        case Stop::kShare: return Who{3, 77};
        case Stop::kConfirm: return Who{10, 11};
        case Stop::kMask: return Who{0, 42, 159};
        case Stop::kVote: return Who{5, 6};
        case Stop::kUnmask: return Who{100, 101, 102};
        default: return Who{};
      }
    });
    REQUIRE_MESSAGE(ran.has_value(), ran.error().message);
    CHECK(world.refusals_.empty());
    CHECK(world.server_->maskers().count() == 156);
    CHECK(world.server_->survivors().count() == 153);
    const auto exact = world.sum_is_exact(pool);
    REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
    CHECK(*exact);
    sums[threads / 2] = world.sum_->values(0);
  }
  CHECK(sums[0] == sums[1]);
}

TEST_CASE("a cohort with a member without AES instructions uses ChaCha20, and is exact") {
  WorkerPool pool(1);
  SecAggWorld world({});
  auto& person = *world.people_[2];
  const SecAggMember member{person.key, person.credential, world.policy_, false};
  person.client.reset();
  person.client = std::make_unique<SecAggClient>(member, world.terms(), person.book, world.work_, world.bytes_);
  REQUIRE(world.run().has_value());
  CHECK(world.server_->cohort()->cipher() == PrgCipher::kChaCha20);
  CHECK(*world.sum_is_exact(pool));
}

TEST_CASE("what a member masks looks nothing like what it masks, and a single survivor's is not opened by the rest") {
  SecAggWorld world({});
  REQUIRE(world.run([](Stop) { return Who{}; }, Stop::kMask).has_value());
  // The sum before unmasking is as far from the plain sum as chance.
  std::size_t equal = 0;
  const auto masked = world.sum_->values(0);
  for (std::size_t k = 0; k < masked.size(); ++k) {
    std::int64_t plain = 0;
    for (auto& person : world.people_) plain += person->input[0][k];
    equal += masked[k] == plain ? 1 : 0;
  }
  CHECK(equal == 0);
}

TEST_CASE("out-of-range input: undetected, the sum wrong, privacy intact; bad length: dropped") {
  WorkerPool pool(1);
  SecAggWorld world({});
  world.people_[1]->input[0][0] = std::int64_t{1} << 31;  // wraps the lane
  REQUIRE(world.run().has_value());
  const auto exact = world.sum_is_exact(pool);
  REQUIRE(exact.has_value());
  CHECK_FALSE(*exact);
  MaskedSum sum(world.config_.vectors);
  const std::vector<std::uint64_t> longer(20);  // the vector has 19 words
  CHECK_FALSE(sum.add(0, 0, longer).has_value());
  CHECK_FALSE(sum.add(0, 1, std::span(longer).first(19)).has_value());
  CHECK_FALSE(sum.add(2, 0, std::span(longer).first(1)).has_value());
  CHECK(sum.add(0, 0, std::span(longer).first(19)).has_value());
}

TEST_CASE("vectors that are not those a member signed are left out, and the rest is exact") {
  WorkerPool pool(1);
  SecAggWorld world({});
  REQUIRE(world.run([](Stop) { return Who{}; }, Stop::kConfirm).has_value());
  const auto orders = world.server_->close_confirmations();
  world.carry(*orders);
  world.stored_[4][0][3] ^= 1;
  for (std::uint32_t i = 0; i < 6; ++i) CHECK(world.arrive(i) == (i != 4));
  const auto survivors = world.server_->close_masks({});
  REQUIRE(survivors.has_value());
  world.carry(*survivors);
  CHECK_FALSE(world.server_->survivors().contains(4));
  CHECK(*world.sum_is_exact(pool));
}

}  // namespace
}  // namespace covey
