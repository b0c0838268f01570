// The coordinator's half across restarts: what it goes on with is what it stopped with.
#include <doctest/doctest.h>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

using Phase = SecAggServer::Phase;

void restart(SecAggWorld& world) {
  const Bytes before = world.server_->snapshot();
  auto again = SecAggServer::restore(before, world.authority_.public_key(), world.work_, world.bytes_);
  REQUIRE_MESSAGE(again.has_value(), again.error().message);
  CHECK((*again)->snapshot() == before);
  CHECK((*again)->phase() == world.server_->phase());
  world.server_ = std::move(*again);
}

// A world of seven of whom one falls silent in each of R0b, R1b and R2, restarted wherever `stop` says.
void run_with(SecAggWorld& world, const std::function<bool(Phase)>& stop) {
  const auto at = [&] {
    if (world.server_->phase() >= Phase::kMasking && stop(world.server_->phase())) restart(world);
  };
  world.join();
  const auto rosters = world.server_->close_joins();
  REQUIRE(rosters.has_value());
  world.carry(*rosters);
  const auto deliveries = world.server_->close_shares();
  world.silent_.insert(5);
  world.carry(*deliveries);
  const auto orders = world.server_->close_confirmations();
  REQUIRE(orders.has_value());
  at();
  world.carry(*orders);
  for (std::uint32_t i = 0; i < 7; ++i) {
    if (i == 5 || i == 6) continue;
    REQUIRE(world.arrive(i));
    at();
  }
  CHECK(world.server_->can_close_masks());
  const auto survivors = world.server_->close_masks(world.reservation_);
  REQUIRE(survivors.has_value());
  at();
  std::vector<Bytes> votes;
  for (const Outgoing& o : *survivors)
    for (const std::uint32_t to : o.to) {
      auto answers = world.act(to, o.message);
      REQUIRE(answers.has_value());
      for (Bytes& vote : *answers) votes.push_back(std::move(vote));
    }
  std::vector<Outgoing> certificate;
  for (const Bytes& vote : votes) {
    auto more = world.server_->handle(vote);
    REQUIRE(more.has_value());
    for (Outgoing& o : *more) certificate.push_back(std::move(o));
    at();
  }
  for (const Outgoing& o : certificate)
    for (const std::uint32_t to : o.to) {
      auto answers = world.act(to, o.message);
      REQUIRE(answers.has_value());
      for (const Bytes& unmask : *answers) REQUIRE(world.server_->handle(unmask).has_value());
      at();
    }
}

TEST_CASE("a coordinator that restarts after any message of any phase opens the same sum") {
  WorkerPool pool(1);
  std::vector<std::int64_t> calm;
  for (const int which : {0, 1, 2, 3, 4}) {
    WorldOptions options;
    options.members = 7;
    SecAggWorld world(options);
    run_with(world, [&](Phase phase) {
      switch (which) {
        case 0: return false;
        case 1: return phase == Phase::kMasking;
        case 2: return phase == Phase::kAgreeing;
        case 3: return phase == Phase::kUnmasking;
        default: return true;
      }
    });
    CAPTURE(which);
    const auto exact = world.sum_is_exact(pool);
    REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
    CHECK(*exact);
    if (which == 0) calm = world.sum_->values(0);
    CHECK(world.sum_->values(0) == calm);
    CHECK(world.server_->phase() == Phase::kCommitted);
    restart(world);
  }
}

TEST_CASE("a restart while an abort is asked for keeps the votes, and ends in the same certificate") {
  SecAggWorld world({});
  REQUIRE(world.run([](Stop) { return std::set<std::uint32_t>{}; }, Stop::kMask).has_value());
  const auto asked = world.server_->abort();
  REQUIRE(asked.has_value());
  std::vector<Outgoing> certificate;
  for (const std::uint32_t to : asked->front().to) {
    restart(world);
    REQUIRE(world.server_->due_to(to).has_value() == world.server_->awaits(to));
    if (!world.server_->awaits(to)) continue;
    auto votes = world.act(to, *world.server_->due_to(to));
    REQUIRE(votes.has_value());
    for (const Bytes& vote : *votes) {
      auto more = world.server_->handle(vote);
      REQUIRE(more.has_value());
      for (Outgoing& o : *more) certificate.push_back(std::move(o));
    }
    if (!certificate.empty()) break;
  }
  REQUIRE(certificate.size() == 1);
  CHECK(world.server_->phase() == Phase::kAborted);
  restart(world);
  CHECK(world.server_->certificate()->verdict == Verdict::kAbort);
  CHECK(*world.server_->due_to(0) == certificate.front().message);
}

TEST_CASE("a certificate that was kept by itself is adopted by a machine that lost the votes, and no other is") {
  SecAggWorld world({});
  REQUIRE(world.run([](Stop) { return std::set<std::uint32_t>{}; }, Stop::kMask).has_value());
  const Bytes masked = world.server_->snapshot();
  const auto survivors = world.server_->close_masks(world.reservation_);
  world.carry_votes(*survivors);
  REQUIRE(world.server_->phase() == Phase::kUnmasking);
  CHECK_FALSE(world.server_->can_abort());  // everyone has revealed its shares
  const OutcomeMessage commit = *world.server_->certificate();
  const auto fresh = [&] { return *SecAggServer::restore(masked, world.authority_.public_key(), world.work_, world.bytes_); };
  auto same = fresh();
  CHECK_FALSE(same->adopt(commit).has_value());  // nobody agreed on anything yet
  CHECK(same->can_abort());
  REQUIRE(same->close_masks(world.reservation_).has_value());
  CHECK(same->adopt(commit).has_value());
  CHECK(same->phase() == Phase::kUnmasking);
  CHECK_FALSE(same->adopt(commit).has_value());
  auto other = fresh();
  Digest reservation;
  reservation.bytes[0] = 9;
  REQUIRE(other->close_masks(reservation).has_value());
  CHECK_FALSE(other->adopt(commit).has_value());
  OutcomeMessage forged = commit;
  forged.verdict = Verdict::kAbort;
  CHECK_FALSE(other->adopt(forged).has_value());
}

TEST_CASE("a member is told again what its phase says, and only what is for it") {
  WorldOptions options;
  options.members = 7;
  SecAggWorld world(options);
  CHECK_FALSE(world.server_->due_to(0).has_value());
  world.join();
  const auto rosters = world.server_->close_joins();
  CHECK(*world.server_->due_to(3) == rosters->front().message);
  CHECK(world.server_->awaits(3));
  world.silent_ = {6};
  world.carry(*rosters);
  CHECK_FALSE(world.server_->awaits(3));
  CHECK(world.server_->awaits(6));
  const auto deliveries = world.server_->close_shares();
  for (const Outgoing& o : *deliveries) CHECK(*world.server_->due_to(o.to.front()) == o.message);
  CHECK_FALSE(world.server_->due_to(6).has_value());
  CHECK_FALSE(world.server_->awaits(6));
  world.carry(*deliveries);
  const auto orders = world.server_->close_confirmations();
  CHECK(*world.server_->due_to(0) == orders->front().message);
  CHECK_FALSE(world.server_->due_to(6).has_value());
  CHECK_FALSE(world.server_->due_to(7).has_value());
  world.carry(*orders);
  for (std::uint32_t i = 0; i < 6; ++i) {
    CHECK(world.server_->awaits(i));
    REQUIRE(world.arrive(i));
    CHECK_FALSE(world.server_->awaits(i));
  }
  const auto survivors = world.server_->close_masks(world.reservation_);
  for (const Outgoing& o : *survivors) CHECK(*world.server_->due_to(o.to.front()) == o.message);
  CHECK_FALSE(world.server_->due_to(6).has_value());
}

TEST_CASE("a snapshot that is damaged anywhere is refused, or is another state of the same attempt") {
  SecAggWorld world({});
  REQUIRE(world.run([](Stop) { return std::set<std::uint32_t>{}; }, Stop::kMask).has_value());
  const Bytes whole = world.server_->snapshot();
  const auto restored = [&](ByteSpan bytes) {
    return SecAggServer::restore(bytes, world.authority_.public_key(), world.work_, world.bytes_);
  };
  for (std::size_t size = 0; size < whole.size(); size += 7) CHECK_FALSE(restored(ByteSpan(whole).first(size)).has_value());
  std::size_t refused = 0, tried = 0;
  for (std::size_t at = 0; at < whole.size(); at += 11, ++tried) {
    Bytes damaged = whole;
    damaged[at] ^= 0x40;
    const auto result = restored(damaged);
    if (!result) {
      ++refused;
      CHECK(result.error().code == ErrorCode::kCorrupted);
    } else {
      CHECK((*result)->snapshot() == damaged);
    }
  }
  CHECK(refused > tried / 3);
  Bytes longer = whole;
  longer.push_back(0);
  CHECK_FALSE(restored(longer).has_value());
}

}  // namespace
}  // namespace covey
