// Whoever lies, and whenever: how many rounds a job can lose by it, and who rests.
#include "coordinator/suspicion.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/base/random.h"

namespace covey {
namespace {

PeerKey peer(std::uint32_t number) {
  PeerKey key;
  key.bytes[0] = static_cast<std::uint8_t>(number >> 8);
  key.bytes[1] = static_cast<std::uint8_t>(number);
  return key;
}

struct Played {
  std::uint32_t spoiled = 0;   // rounds
  std::uint32_t in_a_row = 0;  // the most
  std::set<PeerKey> resting;   // at the end
};
// `lies` says whether this liar, which takes part, spoils this round.
Played play(std::uint32_t members, std::uint32_t least, const std::set<std::uint32_t>& liars, std::uint32_t rounds,
            const std::function<bool(std::uint32_t round, const Suspicion&)>& lies) {
  std::set<PeerKey> all;
  for (std::uint32_t i = 0; i < members; ++i) all.insert(peer(i));
  Suspicion suspicion;
  Played played;
  std::uint32_t row = 0;
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    std::set<PeerKey> here = all;
    for (const PeerKey& one : suspicion.resting_of(all, least)) here.erase(one);
    REQUIRE(here.size() >= least);
    bool spoiled = false;
    for (const std::uint32_t liar : liars) spoiled = spoiled || (here.contains(peer(liar)) && lies(round, suspicion));
    if (spoiled) {
      suspicion.spoiled({round, here, {all.begin(), all.end()}, members - least, 7});
      ++played.spoiled;
      played.in_a_row = std::max(played.in_a_row, ++row);
    } else {
      suspicion.committed(here);
      row = 0;
    }
    const auto again = decode_suspicion(encode(suspicion));
    if (suspicion.any()) {
      REQUIRE(again.has_value());
      CHECK(*again == suspicion);
    }
  }
  played.resting = suspicion.resting_of(all, least);
  return played;
}

}  // namespace

TEST_CASE("suspicion: one member that always lies costs a few rounds, and rests alone in the end") {
  for (const auto& [members, least] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{{5, 4}, {6, 4}, {10, 5}, {10, 9}, {40, 30}, {100, 90}}) {
    for (std::uint32_t liar = 0; liar < members; ++liar) {
      CAPTURE(members);
      CAPTURE(liar);
      const Played played = play(members, least, {liar}, 400, [](std::uint32_t, const Suspicion&) { return true; });
      CHECK(played.spoiled <= 4 + (members + members - least - 1) / (members - least));
      CHECK(played.resting == std::set<PeerKey>{peer(liar)});
    }
  }
}

TEST_CASE("suspicion: one member that lies whenever it likes costs no more rounds than there are members, and one") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    const auto members = 5 + static_cast<std::uint32_t>(random.below(12));
    const auto least = 4 + static_cast<std::uint32_t>(random.below(members - 4));
    const auto liar = static_cast<std::uint32_t>(random.below(members));
    const std::uint64_t now_and_then = 1 + random.below(6);
    CAPTURE(seed);
    // Also one that waits until a single honest member is left that rests.
    const bool cunning = random.below(2) == 0;
    const Played played = play(members, least, {liar}, 3000, [&](std::uint32_t, const Suspicion& suspicion) {
      return cunning ? suspicion.rounds() < 2 || suspicion.resting().size() == 1 : random.below(now_and_then) == 0;
    });
    CHECK(played.spoiled <= members + 1);
  }
}

TEST_CASE("suspicion: two members that always lie are found by chance, and most rounds come to something") {
  std::uint32_t stopped = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const auto one = static_cast<std::uint32_t>(random.below(20)), other = (one + 1 + static_cast<std::uint32_t>(random.below(19))) % 20;
    const Played played = play(20, 10, {one, other}, 300, [](std::uint32_t, const Suspicion&) { return true; });
    CHECK(played.spoiled < 50);
    stopped += played.in_a_row > 10 ? 1 : 0;
  }
  CHECK(stopped <= 12);  // of these a job whose attempts_max is 10 would have ended
}

TEST_CASE("suspicion: nobody rests after one spoiled round, none that a next one needs, and the same round counts once") {
  std::set<PeerKey> all;
  for (std::uint32_t i = 0; i < 6; ++i) all.insert(peer(i));
  const std::vector<PeerKey> willing(all.begin(), all.end());
  Suspicion suspicion;
  CHECK_FALSE(suspicion.any());
  CHECK_FALSE(suspicion.committed(all));
  suspicion.spoiled({3, all, willing, 2, 1});
  CHECK(suspicion.resting().empty());
  suspicion.spoiled({3, all, willing, 2, 1});
  CHECK(suspicion.rounds() == 1);
  suspicion.spoiled({4, all, willing, 2, 1});
  CHECK(suspicion.resting().size() == 2);
  CHECK(suspicion.resting_of(all, 4).size() == 2);
  std::set<PeerKey> fewer = all;
  fewer.erase(suspicion.resting()[1]);
  CHECK(suspicion.resting_of(fewer, 4) == std::set<PeerKey>{suspicion.resting()[0]});
  CHECK(suspicion.resting_of(fewer, 5).empty());
  suspicion.spoiled({5, all, willing, 0, 1});
  CHECK(suspicion.resting().empty());
}

TEST_CASE("suspicion: a changed row is corruption, and nothing else") {
  std::set<PeerKey> all;
  for (std::uint32_t i = 0; i < 6; ++i) all.insert(peer(i));
  Suspicion suspicion;
  for (std::uint32_t round = 1; round <= 3; ++round) suspicion.spoiled({round, all, {all.begin(), all.end()}, 2, 1});
  const Bytes row = encode(suspicion);
  for (std::size_t length = 0; length < row.size(); ++length)
    CHECK(decode_suspicion(ByteSpan(row).first(length)).error().code == ErrorCode::kCorrupted);
  Bytes more = row;
  more.push_back(0);
  CHECK_FALSE(decode_suspicion(more).has_value());
  Bytes twice = row;
  std::copy(row.end() - 36, row.end() - 4, twice.end() - 68);  // before the last, empty list
  CHECK_FALSE(decode_suspicion(twice).has_value());
}

}  // namespace covey
