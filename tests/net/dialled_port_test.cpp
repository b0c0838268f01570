// One dialled port where nothing listens.
#include <doctest/doctest.h>

#include "net/dial_transport.h"
#include "net/zmq_socket.h"
#include "tests/net/loopback.h"

using namespace covey;
using namespace covey::loopback;

TEST_CASE("dialled port: waits ever longer, but no longer than its window once the coordinator's other port is up") {
  ZmqContext context(1);
  const CurveKey identity = random_key();
  ReconnectPace pace(1);
  const std::string endpoint = "tcp://127.0.0.1:" + std::to_string(free_port());
  auto opened = DialledPort::open(context, {identity, random_key().public_key(), endpoint, true}, "nobody", pace);
  REQUIRE(opened);
  DialledPort& port = **opened;
  Instant now{};
  for (int failures = 0; failures < 6; ++failures) {
    now += 60s;
    port.dial(now);
    const Instant dialled = *port.redial_at();
    port.other_up(now);
    CHECK(*port.redial_at() == dialled);  // a dial on its way is not disturbed
    std::vector<LinkState> states;
    for (int waits = 0; waits < 50 && states.empty(); ++waits) {
      zmq_wait({&port.watch()}, -1, 200ms);
      states = port.changes(now);
    }
    REQUIRE(states == std::vector<LinkState>{LinkState::kUnreachable});
  }
  CHECK(*port.redial_at() - now >= 8s);  // of 16 s half at least
  port.other_up(now);
  CHECK(*port.redial_at() - now <= pace.window());
}
