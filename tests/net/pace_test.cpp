// How much may wait, how often a blob is served, when a dialler comes back, which version is spoken.
#include <doctest/doctest.h>

#include "core/protocol/version.h"
#include "net/reconnect_pace.h"
#include "net/send_budget.h"
#include "net/serve_limit.h"

using namespace covey;

namespace {

Instant at(double seconds) { return instant_of_nanos(1'700'000'000'000'000'000) + from_seconds(seconds); }

template <class Key>
Key key_of(std::uint8_t n) {
  Key key;
  key.bytes[0] = n;
  return key;
}

}  // namespace

TEST_CASE("send budget: one peer and all of them have a bound, and hearing a peer frees it") {
  SendBudget budget({100, 250});
  CHECK(budget.spend(1, 60));
  CHECK_FALSE(budget.spend(1, 60));  // 120 > 100
  CHECK(budget.spend(1, 40));
  CHECK(budget.spend(2, 100));
  CHECK(budget.spend(3, 50));
  CHECK_FALSE(budget.spend(3, 10));  // 260 > 250 in all
  budget.heard(1);
  CHECK(budget.outstanding() == 150);
  CHECK(budget.spend(3, 10));
  budget.forget(2);
  budget.forget(2);
  CHECK(budget.outstanding() == 60);
}

TEST_CASE("send budget: who speaks but does not read stays charged until it takes something") {
  SendBudget budget({100, 250});
  CHECK(budget.spend(1, 10));
  budget.full(1);
  CHECK(budget.outstanding() == 100);
  budget.heard(1);
  CHECK(budget.outstanding() == 100);
  CHECK(budget.spend(1, 10));  // a try costs nothing more
  CHECK(budget.outstanding() == 100);
  budget.sent(1, 10);
  CHECK(budget.outstanding() == 10);
  budget.heard(1);
  CHECK(budget.outstanding() == 0);
}

TEST_CASE("send budget: members that never read take nobody's floor") {
  const auto attacked = [](SendBudget budget, std::uint64_t members) {
    for (std::uint64_t n = 0; n < members; ++n) {
      (void)budget.spend(n, 100);
      budget.full(n);
      budget.heard(n);  // it speaks
    }
    return budget;
  };
  constexpr std::uint64_t kPeer = 2000, kAll = 100'000;
  SendBudget before = attacked(SendBudget({kPeer, kAll}), 50);
  CHECK_FALSE(before.spend(1000, 100));  // without a reserve 50 members shut everybody out
  for (const std::uint64_t members : {50, 500}) {
    SendBudget after = attacked(SendBudget({kPeer, kAll / 4 * 3, 200, kAll / 4}), members);
    std::uint64_t innocent = 1000;
    for (; innocent < 1200 && after.spend(innocent, 200); ++innocent) CHECK_FALSE(after.spend(innocent, 100));
    CHECK(innocent == 1000 + kAll / 4 / 200);  // so many at a time have their floor
    after.heard(1000);
    CHECK(after.spend(1000, 200));
    for (std::uint64_t n = 0; n < members; ++n) after.forget(n);  // they were cut
    CHECK(after.spend(1001, 1000));
    CHECK(after.outstanding() == kAll / 4 + 1000);
  }
}

TEST_CASE("send budget: the reserve is for when nothing else is left, and not for full queues") {
  SendBudget budget({100, 150, 20, 40});
  CHECK(budget.spend(1, 100));
  CHECK(budget.spend(2, 50));
  CHECK(budget.spend(2, 20));  // its floor
  CHECK_FALSE(budget.spend(2, 1));
  CHECK(budget.spend(3, 20));
  CHECK_FALSE(budget.spend(4, 1));  // two floors are all
  CHECK(budget.outstanding() == 190);
  budget.full(3);  // its floor is free for another, it is charged for its queue
  CHECK(budget.spend(4, 20));
  CHECK(budget.outstanding() == 290);
  CHECK(budget.charged() == std::vector<std::pair<std::uint64_t, bool>>{{1, false}, {2, false}, {3, true}, {4, false}});
  budget.sent(3, 10);
  CHECK(budget.outstanding() == 200);
  for (const std::uint64_t n : {1, 2, 3, 4}) budget.heard(n);
  CHECK(budget.outstanding() == 0);
  CHECK(budget.charged().empty());
}

TEST_CASE("serve limit: a blob may be had a few times, not for ever, and again in the next window") {
  ServeLimit limit;
  const auto peer = key_of<PeerKey>(1);
  const auto blob = key_of<Digest>(2);
  std::size_t chunks = 0;
  for (; limit.allows(peer, blob, at(0)) && chunks < 10'000; ++chunks) limit.served(peer, blob, 7, kChunkBytes);
  CHECK(chunks >= 4 * 8);  // all eight chunks up to this one, four times
  CHECK(chunks <= 4 * 8 + ServeLimit::kBytesFree / kChunkBytes + 1);
  CHECK(limit.allows(key_of<PeerKey>(3), blob, at(1)));
  CHECK(limit.allows(peer, key_of<Digest>(4), at(1)));
  CHECK_FALSE(limit.allows(peer, blob, at(599)));
  CHECK(limit.size() == 1);  // asking alone leaves no trace
  CHECK(limit.allows(peer, blob, at(601)));
}

TEST_CASE("serve limit: a blob that is withdrawn leaves no trace, and the others stay") {
  ServeLimit limit;
  for (int peer = 1; peer <= 5; ++peer)
    for (int blob = 1; blob <= 3; ++blob)
      limit.served(key_of<PeerKey>(static_cast<std::uint8_t>(peer)), key_of<Digest>(static_cast<std::uint8_t>(blob)), 0, 100);
  limit.withdrawn(key_of<Digest>(2));
  CHECK(limit.size() == 10);
  limit.withdrawn(key_of<Digest>(2));
  limit.withdrawn(key_of<Digest>(9));
  CHECK(limit.size() == 10);
  limit.withdrawn(key_of<Digest>(1));
  limit.withdrawn(key_of<Digest>(3));
  CHECK(limit.size() == 0);
}

TEST_CASE("serve limit: the pages of a blob's list are limited likewise") {
  ServeLimit limit;
  const auto peer = key_of<PeerKey>(1);
  const auto blob = key_of<Digest>(2);
  const auto pages = [&](std::uint32_t page, std::size_t hashes, double when) {
    std::size_t count = 0;
    for (; limit.allows_list(peer, blob, at(when)) && count < 10'000; ++count) limit.served_list(peer, blob, page, hashes);
    return count;
  };
  CHECK(pages(0xffff'fff0, 0, 0) == ServeLimit::kPagesFree);  // beyond the end: nothing grows by it
  CHECK(limit.allows(peer, blob, at(1)));  // chunks are counted apart
  CHECK(limit.allows_list(key_of<PeerKey>(3), blob, at(1)));
  CHECK(pages(0, 1, 601) == ServeLimit::kPagesFree + 4);
  for (std::uint32_t page = 0; page < 64; ++page) {  // 64 GiB
    REQUIRE(limit.allows_list(peer, key_of<Digest>(5), at(602)));
    limit.served_list(peer, key_of<Digest>(5), page, 4096);
  }
  CHECK(limit.size() == 2);
}

TEST_CASE("serve limit: an honest download of any size is never held up") {
  ServeLimit limit;
  for (std::uint32_t index = 0; index < 4096; ++index) {  // 1 GiB
    REQUIRE(limit.allows(key_of<PeerKey>(1), key_of<Digest>(2), at(0)));
    limit.served(key_of<PeerKey>(1), key_of<Digest>(2), index, kChunkBytes);
  }
}

TEST_CASE("reconnect pace: losses are spread over the window, each start in its own way") {
  int early = 0, late = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    ReconnectPace pace(seed);
    pace.set_window(10s);
    const Duration wait = pace.after_loss();
    REQUIRE(wait >= Duration::zero());
    REQUIRE(wait < 10s);
    early += wait < 1s ? 1 : 0;
    late += wait >= 9s ? 1 : 0;
  }
  CHECK(early > 60);
  CHECK(early < 140);
  CHECK(late > 60);
  CHECK(late < 140);
  ReconnectPace hostile(1);
  hostile.set_window(std::chrono::hours(10'000));
  CHECK(hostile.window() == kReconnectWindowMax);
  hostile.set_window(-1s);
  CHECK(hostile.after_loss() == Duration::zero());
}

TEST_CASE("reconnect pace: failures back off from half a second to a minute, and a success starts anew") {
  ReconnectPace pace(7);
  Duration longest{};
  for (int i = 0; i < 20; ++i) {
    const Duration wait = pace.after_failure();
    REQUIRE(wait >= 250ms);
    REQUIRE(wait <= 60s);
    if (i == 0) CHECK(wait <= 500ms);
    longest = std::max(longest, wait);
  }
  CHECK(longest > 30s);
  pace.connected();
  CHECK(pace.after_failure() <= 500ms);
}

TEST_CASE("version: the newest that both speak, or a refusal that names both") {
  CHECK(negotiate({1, 3}, {2, 5}).value() == 3);
  CHECK(negotiate({1, 3}, {1, 2}).value() == 2);
  CHECK(negotiate({1, 1}, {1, 1}).value() == 1);
  for (const auto& [ours, theirs] : {std::pair<ProtocolRange, ProtocolRange>{{3, 4}, {1, 2}}, {{1, 2}, {3, 4}}, {{1, 2}, {5, 1}}}) {
    const auto refused = negotiate(ours, theirs);
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::kUnsupported);
    CHECK(refused.error().message.find(to_text(ours)) != std::string::npos);
    CHECK(refused.error().message.find(to_text(theirs)) != std::string::npos);
  }
}
