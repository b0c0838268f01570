#include "tests/client/hand_driven.h"

using namespace covey;

TEST_CASE("client: joins at the start, and again until it is answered") {
  HandDriven client;
  Commands commands = client(Started{});
  const Join join = sent<Join>(commands);
  CHECK(join.protocol_version == kProtocolVersion);
  CHECK(join.instance == 42);
  CHECK(join.capability.cores == 4);
  double expected = 0.5;
  for (int i = 0; i < 10; ++i) {
    const auto waits = timers(commands, "join");
    REQUIRE(waits.size() == 1);
    CHECK(seconds(waits[0]) >= expected / 2 - 1e-9);
    CHECK(seconds(waits[0]) <= expected);
    expected = std::min(2 * expected, 30.0);
    commands = client.fire("join");
    CHECK(all_sent<Join>(commands).size() == 1);
  }
}

TEST_CASE("client: joined, it stops asking and sends heartbeats") {
  HandDriven client;
  Commands commands = client.join();
  CHECK(has_logged(commands, "client_joined"));
  CHECK(only<CancelTimer>(commands).name == "join");
  CHECK(timers(commands, "heartbeat") == std::vector<Duration>{kHeartbeatInterval});
  CHECK(client.fire("join").empty());  // fired before it was cancelled
  for (int i = 0; i < 100; ++i) {
    client.now += kHeartbeatInterval;
    commands = client.fire("heartbeat");
    CHECK(sent<Heartbeat>(commands).instance == 42);
    CHECK(timers(commands, "heartbeat") == std::vector<Duration>{kHeartbeatInterval});
    CHECK(client.receive(HeartbeatAck{}).empty());
  }
  CHECK(client.receive(JoinAccepted{"site-1"}).empty());  // answer to a second Join
}

TEST_CASE("client: a coordinator that does not answer heartbeats is joined again") {
  HandDriven client;
  client.join();
  Commands commands;
  while (all_sent<Join>(commands).empty()) {
    client.now += kHeartbeatInterval;
    commands = client.fire("heartbeat");
    REQUIRE(client.now - HandDriven().now <= kLinkTimeout + kHeartbeatInterval);
  }
  CHECK(client.now - HandDriven().now > kLinkTimeout);
  CHECK(has_logged(commands, "joining_again"));
  CHECK(timers(commands, "join").size() == 1);
  CHECK(client.fire("heartbeat").empty());
  CHECK(has_logged(client.receive(JoinAccepted{"site-1"}), "client_joined"));
  client.now += kHeartbeatInterval;  // the silence before does not count now
  CHECK(all_sent<Heartbeat>(client.fire("heartbeat")).size() == 1);
}

TEST_CASE("client: a restarted coordinator is joined at once, and only once") {
  HandDriven client;
  client.join();
  CHECK(all_sent<Join>(client.receive(RejoinRequired{})).size() == 1);
  CHECK(client.receive(RejoinRequired{}).empty());
  CHECK(has_logged(client.receive(JoinAccepted{"site-1"}), "client_joined"));
}

TEST_CASE("client: refused for now, it waits as long as it is told") {
  HandDriven client;
  client(Started{});
  const Commands commands = client.receive(JoinRefused{{ErrorCode::kAlreadyExists, "another process"}, 10s});
  CHECK(has_logged(commands, "join_refused"));
  const auto waits = timers(commands, "join");
  REQUIRE(waits.size() == 1);
  CHECK(waits[0] >= 10s);
  CHECK(waits[0] <= 11s);
  CHECK(all_sent<Join>(client.fire("join")).size() == 1);
  const auto longest = timers(client.receive(JoinRefused{{}, Duration::max()}), "join");
  REQUIRE(longest.size() == 1);
  CHECK(longest[0] <= 2h);
}

TEST_CASE("client: refused for good, it ends with exit code 5") {
  HandDriven client;
  client(Started{});
  const Commands commands = client.receive(JoinRefused{{ErrorCode::kPermissionDenied, "revoked"}, 0s});
  const Halt halt = only<Halt>(commands);
  CHECK(halt.exit_code == 5);
  CHECK(halt.text.find("revoked") != std::string::npos);
  CHECK(std::holds_alternative<Halt>(commands.back()));
  CHECK(client.fire("join").empty());
}

TEST_CASE("client: refused while it rejoins in the middle of training, it stops that first") {
  HandDriven client;
  client.join();
  const Ticket work = only<StartWork>(client.until_training(offer_of(1))).ticket;
  client.receive(RejoinRequired{});
  const Commands commands = client.receive(JoinRefused{{ErrorCode::kPermissionDenied, "revoked"}, 0s});
  CHECK(only<CancelWork>(commands).ticket == work);
  CHECK(std::holds_alternative<Halt>(commands.back()));
}

TEST_CASE("client: after it has joined, a late refusal changes nothing but a final one means revoked") {
  HandDriven client;
  client.join();
  CHECK(client.receive(JoinRefused{{}, 10s}).empty());
  CHECK(all_sent<Heartbeat>(client.fire("heartbeat")).size() == 1);
  const Commands commands = client.receive(JoinRefused{{ErrorCode::kPermissionDenied, "revoked"}, 0s});
  REQUIRE_FALSE(commands.empty());
  CHECK(std::holds_alternative<Halt>(commands.back()));
}

TEST_CASE("client: answers Ping with a sign of life, or joins where it has not") {
  HandDriven client;
  client(Started{});
  CHECK(sent<Join>(client.receive(Ping{})).instance == 42);
  client.receive(JoinAccepted{"site-1"});
  CHECK(sent<Heartbeat>(client.receive(Ping{})).instance == 42);
}

TEST_CASE("client: a version that it does not speak is refused, whatever the coordinator chose") {
  HandDriven client;
  client(Started{});
  const Commands commands = client.receive(JoinAccepted{"site-1", 1, kProtocolVersion + 1});
  CHECK(only<Halt>(commands).exit_code == 5);
  CHECK(only<Halt>(commands).text.find("version 2") != std::string::npos);
}

TEST_CASE("client: asked to stop, it says goodbye, cancels work and ends well") {
  HandDriven client;
  client.join();
  const Ticket work = only<StartWork>(client.until_training(offer_of(1))).ticket;
  const Commands commands = client(ShutdownRequested{});
  CHECK(only<CancelWork>(commands).ticket == work);
  CHECK(all_sent<Leave>(commands).size() == 1);
  CHECK(only<Halt>(commands).exit_code == 0);
  CHECK(std::holds_alternative<Halt>(commands.back()));
  CHECK(client.receive(offer_of(2)).empty());
  CHECK(client(WorkDone{work, trained_update(200)}).empty());
}

TEST_CASE("client: what is not for it is logged and changes nothing") {
  HandDriven client;
  CHECK(does_nothing(client.receive(offer_of(1))));  // before the start
  client.join();
  CHECK(does_nothing(client(Started{})));
  const Link stranger{PeerKey{{8}}, 1};
  const Commands commands = client(Received{stranger, offer_of(1)});
  CHECK(does_nothing(commands));
  CHECK(has_logged(commands, "event_ignored"));
  const Link other_connection{kCoordinator.peer, 2};
  CHECK(does_nothing(client(Received{other_connection, Ping{}})));
  for (const Message& message :
       {Message(Join{}), Message(Heartbeat{}), Message(Leave{}), Message(UpdateReady{}), Message(OperatorRequest{}),
        Message(Chunk{}), Message(RoundAccept{})}) {
    CAPTURE(name_of(message));
    const Commands ignored = client.receive(message);
    CHECK(does_nothing(ignored));
    CHECK(has_logged(ignored, "event_ignored"));
  }
  CHECK(has_logged(client.fire("no such timer"), "event_ignored"));
  for (const Event& event : {Event(Persisted{99}), Event(BlobFetched{99, {}, {}}), Event(BlobFailed{99, {}}),
                             Event(WorkDone{99, DataPrepared{}}), Event(WorkFailed{99, {}}), Event(WorkDone{0, DataPrepared{}})})
    CHECK(does_nothing(client(event)));
  for (const char* timer : {"deadline", "deliver", "fetch"}) CHECK(does_nothing(client.fire(timer)));
  const RoundKey key{1, 1, 1};
  CHECK(does_nothing(client.receive(UpdateAccepted{key})));
  CHECK(does_nothing(client.receive(UpdateRefused{key, {}})));
  CHECK(does_nothing(client.receive(RoundClosed{key, true, ""})));
}

TEST_CASE("client: waits that make no sense are refused") {
  ClientConfig config;
  config.rejoin_min = 0s;
  CHECK(Client::create(config, {}).error().code == ErrorCode::kInvalidArgument);
  config.rejoin_min = 60s;
  CHECK(Client::create(config, {}).error().code == ErrorCode::kInvalidArgument);
}
