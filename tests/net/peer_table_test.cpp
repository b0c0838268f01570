// Who came and went is forgotten, and charged for nothing, as soon as its connection is over.
#include "net/peer_table.h"

#include <sys/socket.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <array>
#include <utility>

using namespace covey;
using namespace std::chrono_literals;

namespace {

// A connection of the kernel, as one end sees it.
class Pair {
 public:
  Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) == 0); }
  ~Pair() {
    for (const int end : ends_)
      if (end >= 0) ::close(end);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  int here() const { return ends_[0]; }
  void shut() { ::close(std::exchange(ends_[0], -1)); }

 private:
  std::array<int, 2> ends_{-1, -1};
};

Bytes routing(std::size_t number) { return {static_cast<std::uint8_t>(number), static_cast<std::uint8_t>(number >> 8U)}; }
const Instant kStart = instant_of_nanos(1'700'000'000'000'000'000);
constexpr SendBudget::Limits kLimits{1000, 3000, 100, 500};

}  // namespace

TEST_CASE("peer table: those whose connections are over are forgotten within two sweeps, however many they were") {
  PeerTable table(kLimits);
  Pair staying;
  const std::uint64_t here = table.heard(routing(60'000), {}, staying.here(), kStart);
  for (std::size_t visit = 0; visit < 5000; ++visit) {
    Pair connection;
    table.heard(routing(visit), {}, connection.here(), kStart);
  }
  CHECK(table.size() == 5001);
  table.sweep(kStart + 1s);
  CHECK(table.size() == 5001);  // what they said last may wait to be read, and must be theirs
  table.sweep(kStart + 1s + PeerTable::kGoneKept);
  CHECK(table.size() == 1);
  CHECK(table.contains(here));
}

TEST_CASE("peer table: a message that is read after its connection is over is that connection's") {
  PeerTable table(kLimits);
  Pair connection;
  const std::uint64_t number = table.heard(routing(1), {}, connection.here(), kStart);
  connection.shut();
  CHECK(table.look(number, kStart + 1s));
  CHECK(table.heard(routing(1), {}, connection.here(), kStart + 2s) == number);
  table.sweep(kStart + 3s);
  table.sweep(kStart + 3s + PeerTable::kGoneKept);
  CHECK(table.size() == 0);
}

TEST_CASE("peer table: what was sent to a connection that is over counts no more") {
  PeerTable table(kLimits);
  Pair connection, other;
  const std::uint64_t number = table.heard(routing(1), {}, connection.here(), kStart);
  const std::uint64_t lives = table.heard(routing(2), {}, other.here(), kStart);
  REQUIRE(table.budget().spend(number, 900));
  REQUIRE(table.budget().spend(lives, 70));
  CHECK_FALSE(table.look(number, kStart + 1s));
  CHECK(table.budget().outstanding() == 970);
  connection.shut();
  CHECK(table.look(number, kStart + 1s));
  CHECK_FALSE(table.look(lives, kStart + 1s));
  CHECK(table.budget().outstanding() == 70);
}

TEST_CASE("peer table: a descriptor that was never known tells nothing") {
  PeerTable table(kLimits);
  const std::uint64_t number = table.heard(routing(1), {}, -1, kStart);
  CHECK_FALSE(table.look(number, kStart));
  table.sweep(kStart + PeerTable::kIdleMax);
  CHECK(table.contains(number));
  table.sweep(kStart + PeerTable::kIdleMax + 1s);
  CHECK_FALSE(table.contains(number));
}
