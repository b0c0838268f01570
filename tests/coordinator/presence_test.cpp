#include "tests/coordinator/driver.h"

namespace covey {

TEST_CASE("presence: a node joins, and an unknown peer is ignored") {
  Driver d(1);
  d.join(d.client(0));
  CHECK(d.last<JoinAccepted>(d.client(0).key())->name == "client-0");
  CHECK(d.logged("node_joined") == 1);
  const Identity stranger = identity(50, "stranger");
  const std::size_t before = d.sent.size();
  d.join(stranger);
  d.from(stranger, Heartbeat{1});
  d.from(stranger, RoundAccept{{1, 1, 1}});
  CHECK(d.sent.size() == before);
}

TEST_CASE("presence: another version of the protocol is refused with both numbers") {
  Driver d(1);
  d.from(d.client(0), Join{kProtocolVersion + 1, 1, {}});
  const auto refused = d.last<JoinRefused>(d.client(0).key());
  REQUIRE(refused);
  CHECK(refused->error.code == ErrorCode::kUnsupported);
  CHECK(refused->error.message.find("protocol version 1,") != std::string::npos);
  CHECK(refused->error.message.find("version 2;") != std::string::npos);
  CHECK(refused->retry_after == Duration{});
}

TEST_CASE("presence: the newest common version is chosen, and a window to come back in is named") {
  Driver d(2);
  d.from(d.client(0), Join{kProtocolVersion + 2, 1, {"cpu", 4, 1 << 30, 10}, kProtocolVersion});
  const auto accepted = d.last<JoinAccepted>(d.client(0).key());
  REQUIRE(accepted);
  CHECK(accepted->protocol_version == kProtocolVersion);
  CHECK(accepted->reconnect_window == 200ms);  // few nodes: the least
  d.from(d.client(1), Join{kProtocolVersion + 2, 1, {"cpu", 4, 1 << 30, 10}, kProtocolVersion + 1});
  const auto refused = d.last<JoinRefused>(d.client(1).key());
  REQUIRE(refused);
  CHECK(refused->error.message.find("versions 2 to 3; install a newer Covey on the coordinator") != std::string::npos);
}

TEST_CASE("presence: heartbeats are answered; after a restart the node must rejoin") {
  Driver d(1);
  d.join(d.client(0));
  d.from(d.client(0), Heartbeat{1});
  CHECK(d.count<HeartbeatAck>() == 1);
  d.restart();
  d.from(d.client(0), Heartbeat{1});
  CHECK(d.count<RejoinRequired>() == 1);
  d.from(d.client(0), RoundAccept{{1, 1, 1}});
  CHECK(d.count<RejoinRequired>() == 2);
}

TEST_CASE("presence: heartbeats are answered while the disk is slow") {
  Driver d(1);
  d.join(d.client(0));
  d.withhold_writes = true;
  d.join(d.client(0), 1, 2);
  d.from(d.client(0).link(2), Heartbeat{1});
  CHECK(d.count<HeartbeatAck>() == 1);
  CHECK(d.count<JoinAccepted>() == 2);
}

TEST_CASE("presence: a second process with a living identity is refused") {
  Driver d(1);
  d.join(d.client(0), 1, 1);
  d.join(d.client(0), 2, 2);
  CHECK(d.count<Ping>() == 1);
  CHECK(d.sent.back().to.session == 1);
  d.from(d.client(0).link(1), Heartbeat{1});
  const auto refused = d.last<JoinRefused>(d.client(0).key());
  REQUIRE(refused);
  CHECK(refused->error.code == ErrorCode::kAlreadyExists);
  CHECK(refused->error.message.find("another process uses this identity") != std::string::npos);
  CHECK(refused->retry_after == 10s);
  d.advance(3s);
  CHECK(d.all<JoinAccepted>(d.client(0).key()).size() == 1);
  d.from(d.client(0).link(1), Heartbeat{1});
  CHECK(d.count<HeartbeatAck>() == 2);
}

TEST_CASE("presence: a restarted process takes over from its dead predecessor") {
  Driver d(1);
  d.join(d.client(0), 1, 1);
  d.join(d.client(0), 2, 2);
  d.advance(1s);
  CHECK(d.count<JoinAccepted>() == 1);
  d.advance(1s);
  CHECK(d.count<JoinAccepted>() == 2);
  CHECK(d.sent.back().to.session == 2);
  d.from(d.client(0).link(1), Heartbeat{1});  // the predecessor was only asleep
  CHECK(d.count<RejoinRequired>() == 1);
}

TEST_CASE("presence: a third process is refused while two are being told apart") {
  Driver d(1);
  d.join(d.client(0), 1, 1);
  d.join(d.client(0), 2, 2);
  d.join(d.client(0), 3, 3);
  CHECK(d.last<JoinRefused>(d.client(0).key())->error.code == ErrorCode::kAlreadyExists);
  d.advance(2s);
  d.from(d.client(0).link(2), Heartbeat{2});
  CHECK(d.count<HeartbeatAck>() == 1);
}

TEST_CASE("presence: the same process over a new connection is the same process") {
  Driver d(1);
  d.join(d.client(0), 1, 1);
  d.from(d.client(0).link(2), Heartbeat{1});
  CHECK(d.count<HeartbeatAck>() == 1);
  d.from(d.client(0).link(1), RoundAccept{{1, 1, 1}});  // of the connection that is gone
  CHECK(d.count<RejoinRequired>() == 1);
}

TEST_CASE("presence: silence is noticed") {
  Driver d(1);
  d.join(d.client(0));
  d.advance(19s);
  CHECK(d.logged("node_lost") == 0);
  d.advance(6s);
  CHECK(d.logged("node_lost") == 1);
  CHECK_FALSE(std::get<NodeRows>(d.ask(ListNodes{})).rows.front().connected);
}

}  // namespace covey
