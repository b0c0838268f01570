// What one peer can make the coordinator do by repeating itself.
#include "tests/coordinator/driver.h"

namespace covey {

TEST_CASE("flood: a repeated Join is answered at once and costs no row, no log line and no offer") {
  Driver d(2);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\n"));
  d.withhold_writes = true;
  for (int i = 0; i < 1000; ++i) d.join(d.client(0));
  CHECK(d.withheld.empty());
  CHECK(d.all<JoinAccepted>(d.client(0).key()).size() == 1001);
  CHECK(d.logged("node_joined") == 2);
  CHECK(d.all<RoundOffer>(d.client(0).key()).size() == 1);
}

TEST_CASE("flood: a Join with another capability is taken, and saved by the next tick only") {
  Driver d(1);
  d.join(d.client(0));
  d.withhold_writes = true;
  for (std::uint32_t i = 1; i <= 100; ++i)
    d.from(d.client(0), Join{kProtocolVersion, 1, Capability{"cpu", i, std::uint64_t{1} << 30, 10}});
  CHECK(d.withheld.empty());
  d.withhold_writes = false;
  d.advance(5s);
  d.restart();
  const auto rows = std::get<NodeRows>(d.ask(ListNodes{})).rows;
  bool found = false;
  for (const NodeSummary& row : rows)
    if (row.key == d.client(0).key()) {
      found = true;
      CHECK(row.capability.cores == 100);
    }
  CHECK(found);
}

TEST_CASE("flood: a node that joins as ever new processes is sent away for a while") {
  Driver d(1);
  for (std::uint64_t instance = 1; instance <= 1000; ++instance) d.join(d.client(0), instance);
  CHECK(d.logged("node_joined") == 20);
  CHECK(d.logged("join_refused") == 1);
  const auto refused = d.last<JoinRefused>(d.client(0).key());
  REQUIRE(refused);
  CHECK(refused->error.code == ErrorCode::kResourceExhausted);
  CHECK(refused->retry_after == 10s);
  d.advance(10s);
  d.join(d.client(0), 2000);
  CHECK(d.logged("node_joined") == 21);
}

TEST_CASE("flood: refused messages are logged once per node and window") {
  Driver d(2);
  d.join_all();
  for (std::uint64_t i = 0; i < 100; ++i) d.from(d.client(0), OperatorRequest{i, ListNodes{}});
  CHECK(d.all<OperatorReply>(d.client(0).key()).size() == 100);
  CHECK(d.logged("operator_refused") == 1);
  for (int i = 0; i < 100; ++i) d.from(d.client(1), Join{kProtocolVersion + 1, 1, {}});
  CHECK(d.logged("join_refused") == 1);
  d.advance(10s);
  d.from(d.client(0), OperatorRequest{200, ListNodes{}});
  CHECK(d.logged("operator_refused") == 2);
}

TEST_CASE("flood: refused enrolments are all answered and few of them logged") {
  Driver d;
  const Identity stranger = identity(50, "stranger");  // its token was never registered
  for (int i = 0; i < 100; ++i) d.from(stranger.one_time(), Enrol{stranger.certificate});
  CHECK(d.count<EnrolRefused>() == 100);
  CHECK(d.logged("enrolment_refused") == 20);
}

}  // namespace covey
