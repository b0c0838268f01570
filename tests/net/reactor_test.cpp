// Reactors and callers over real sockets on the loopback interface.
#include "net/reactor.h"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "net/listening.h"
#include "tests/net/loopback.h"

using namespace covey;
using namespace covey::loopback;

TEST_CASE("reactor: a client and a coordinator talk, and Started comes first") {
  Listener coordinator(echo_machine());
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{7}}};
    if (const auto* received = std::get_if<Received>(&event)) {
      CHECK(received->from == coordinator.link());
      CHECK(std::get<Heartbeat>(received->message).instance == 7);
      return {Halt{3, "done"}};
    }
    return {};
  });
  coordinator.admit(client.key());
  CHECK(client.run() == 3);
  const auto events = coordinator.events();
  REQUIRE(!events.empty());
  CHECK(events[0] == "started");
  CHECK(client.events()[0] == "started");
  CHECK(coordinator.connections().count(0) == 0);
}

TEST_CASE("reactor: timers fire in order of time, can be replaced and cancelled") {
  Listener coordinator(echo_machine());
  std::vector<std::string> fired;
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event))
      return {SetTimer{"late", 30ms}, SetTimer{"early", 60ms}, SetTimer{"never", 5ms},
              SetTimer{"early", 10ms}, CancelTimer{"never"}};
    if (const auto* timer = std::get_if<TimerFired>(&event)) fired.push_back(timer->name);
    return fired.size() == 2 ? Commands{Halt{0, ""}} : Commands{};
  });
  CHECK(client.run() == 0);
  CHECK(fired == std::vector<std::string>{"early", "late"});
}

TEST_CASE("reactor: blobs travel both ways") {
  const Bytes up = bytes_of_size(3 * kChunkBytes + 4, 1);
  const Bytes down = bytes_of_size(5 * kChunkBytes, 2);
  Listener coordinator([&](const Event& event) -> Commands {
    if (const auto* received = std::get_if<Received>(&event))  // the client offers: its key is the source
      return {FetchBlob{1, received->from.peer, std::get<UpdateReady>(received->message).update.value()}};
    return {};
  });
  const BlobRef offered = coordinator.blobs.put(down).value();
  const BlobRef mine = [&] {
    MemoryBlobs scratch;
    return scratch.put(up).value();
  }();
  std::atomic<bool> fetched{false};
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event))
      return {PublishBlob{mine.id, coordinator.key()}, FetchBlob{9, coordinator.key(), offered},
              Send{coordinator.link(), UpdateReady{{1, 1, 1}, Digest{{1}}, mine, 1, {}, {}}}};
    if (const auto* blob = std::get_if<BlobFetched>(&event)) {
      CHECK(blob->ticket == 9);
      fetched = true;
    }
    CHECK(!std::holds_alternative<BlobFailed>(event));
    return {};
  });
  REQUIRE(client.blobs.put(up).value() == mine);
  coordinator.command(PublishBlob{offered.id, client.key()});
  coordinator.admit(client.key());
  client.start();
  coordinator.wait_for("blob_fetched");
  client.wait_until([&] { return fetched.load(); });
  CHECK(client.finish() == kInterrupted);
  CHECK(coordinator.finish() == kInterrupted);
  CHECK(coordinator.blobs.get(mine.id).value() == up);
  CHECK(client.blobs.get(offered.id).value() == down);
}

TEST_CASE("reactor: a stranger is refused, and hears why") {
  Listener coordinator(echo_machine());
  Dialer stranger(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{1}}};
    CHECK(!std::holds_alternative<Received>(event));
    return {};
  });
  stranger.start();
  stranger.log.wait_for("link_refused");
  CHECK(stranger.log.text().find("not known to the coordinator") != std::string::npos);
  stranger.finish();
  CHECK(coordinator.received() == 0);
}

TEST_CASE("reactor: who is admitted after a refusal gets in without a restart") {
  Listener coordinator(echo_machine());
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {SetTimer{"again", 0ms}};
    if (std::holds_alternative<TimerFired>(event))
      return {Send{coordinator.link(), Heartbeat{1}}, SetTimer{"again", 50ms}};
    return std::holds_alternative<Received>(event) ? Commands{Halt{0, ""}} : Commands{};
  });
  client.start();
  client.log.wait_for("link_refused");
  coordinator.admit(client.key());
  CHECK(client.join() == 0);
}

TEST_CASE("reactor: an expelled peer's live connection is not listened to") {
  Listener coordinator([](const Event& event) -> Commands {
    const auto* received = std::get_if<Received>(&event);
    if (received == nullptr) return {};
    return {ExpelPeer{received->from.peer}, Send{received->from, HeartbeatAck{}}};
  });
  std::atomic<int> acks{0};
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) {
      Commands burst;
      for (std::uint64_t i = 1; i <= 20; ++i) burst.push_back(Send{coordinator.link(), Heartbeat{i}});
      return burst;
    }
    if (std::holds_alternative<Received>(event)) {
      ++acks;
      return {Send{coordinator.link(), Heartbeat{99}}};
    }
    return {};
  });
  coordinator.admit(client.key());
  client.start();
  coordinator.log.wait_for("message_dropped");
  client.finish();
  coordinator.finish();
  CHECK(coordinator.received() == 1);
  CHECK(acks <= 1);
}

TEST_CASE("reactor: a key that may only enrol says nothing else") {
  Listener coordinator([](const Event& event) -> Commands {
    const auto* received = std::get_if<Received>(&event);
    if (received == nullptr) return {};
    return {Send{received->from, EnrolAccepted{}}};
  });
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event))
      return {Send{coordinator.link(), Heartbeat{1}},
              Send{coordinator.link(), OperatorRequest{1, ListNodes{0}}},
              Send{coordinator.link(), enrol_message()}};
    return std::holds_alternative<Received>(event) ? Commands{Halt{0, ""}} : Commands{};
  });
  coordinator.admit(client.key(), Admission::kEnrolment);
  CHECK(client.run() == 0);
  coordinator.finish();
  CHECK(coordinator.received() == 1);
  CHECK(coordinator.log.text().find("may only enrol") != std::string::npos);
}

TEST_CASE("reactor: garbage, foreign and oversized frames are dropped, and the next message is heard") {
  Listener coordinator(echo_machine());
  RawPeer raw(coordinator);
  SUBCASE("garbage") {
    raw.send(Bytes(100, 0x5a));
    coordinator.log.wait_for("message_dropped");
  }
  SUBCASE("nothing") {
    raw.send({});
    coordinator.log.wait_for("message_dropped");
  }
  SUBCASE("a bulk message on the control port") {
    raw.send(encode(BulkHello{}));
    coordinator.log.wait_for("message_dropped");
  }
  SUBCASE("larger than the port takes: the connection is cut") {
    raw.send(Bytes(kControlFrameBytesMax + 1024));
  }
  RawPeer honest(coordinator);
  honest.send(encode(Heartbeat{5}));
  CHECK(honest.receive() == encode(Heartbeat{5}));
  coordinator.finish();
  CHECK(coordinator.received() == 1);
}

TEST_CASE("reactor: a peer that takes another's routing id gets none of its messages") {
  Listener coordinator(echo_machine());
  RawPeer victim(coordinator, "same-id");
  victim.send(encode(Heartbeat{1}));
  REQUIRE(victim.receive() == encode(Heartbeat{1}));
  RawPeer thief(coordinator, "same-id");
  thief.send(encode(Heartbeat{2}));
  victim.send(encode(Heartbeat{3}));
  CHECK(victim.receive() == encode(Heartbeat{3}));
  coordinator.finish();
  for (const auto& [number, peer] : coordinator.connections()) CHECK(peer == victim.key());
}

TEST_CASE("reactor: work and durable writes complete from other threads") {
  Listener coordinator(echo_machine());
  std::vector<std::string> order;
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) {
      Commands commands;
      for (Ticket ticket = 1; ticket <= 50; ++ticket) commands.push_back(Persist{ticket, {}});
      commands.push_back(StartWork{51, CheckUpdate{}});
      return commands;
    }
    if (std::holds_alternative<Persisted>(event)) order.push_back("persisted");
    if (std::holds_alternative<WorkDone>(event)) order.push_back("work");
    return order.size() == 51 ? Commands{Halt{0, ""}} : Commands{};
  });
  CHECK(client.run() == 0);
  CHECK(std::count(order.begin(), order.end(), "work") == 1);
}

TEST_CASE("reactor: a write that fails ends the process with its reason") {
  Listener coordinator(echo_machine());
  Dialer client(coordinator, [](const Event& event) -> Commands {
    return std::holds_alternative<Started>(event) ? Commands{Persist{1, {}}} : Commands{};
  });
  client.executor.fail_writes = true;
  const Result<int> ended = client.run_result();
  REQUIRE(!ended);
  CHECK(ended.error().code == ErrorCode::kResourceExhausted);
  CHECK(ended.error().message.find("disk full") != std::string::npos);
}

TEST_CASE("reactor: the first request to stop is told to the machine, the second ends at once") {
  Listener coordinator(echo_machine());
  std::atomic<bool> told{false};
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<ShutdownRequested>(event)) told = true;
    return {};
  });
  client.start();
  client.reactor->request_shutdown();
  client.wait_until([&] { return told.load(); });
  client.reactor->request_shutdown();
  CHECK(client.join() == kInterrupted);
}

TEST_CASE("reactor: one listener at :: serves IPv4 and IPv6") {
  if (!std::filesystem::exists("/proc/net/if_inet6")) {
    MESSAGE("this machine has no IPv6");
    return;
  }
  Listener coordinator(echo_machine(), ListenConfig{"::", 0, 0});
  const CurveKey key = random_key();
  coordinator.admit(key.public_key());
  MemoryBlobs blobs;
  for (const char* host : {"127.0.0.1", "::1"}) {
    CAPTURE(host);
    DialConfig to = coordinator.address();
    to.coordinator.host = host;
    const auto caller = make_caller(to, key, blobs).value();
    const Result<Message> reply = caller->call(OperatorRequest{1, ListNodes{0}}, 3s);
    // The echo is no reply; what counts is whether it was heard.
    CHECK((reply || reply.error().message.find("does not answer") != std::string::npos));
  }
  CHECK(coordinator.connections().size() == 2);
}

TEST_CASE("reactor: a port that is taken is named") {
  Listener first(echo_machine());
  const Result<std::unique_ptr<Reactor>> second =
      make_listener({"127.0.0.1", first.reactor->control_port(), 0}, first.parts());
  REQUIRE(!second);
  CHECK(second.error().code == ErrorCode::kUnavailable);
  CHECK(second.error().message.find(std::to_string(first.reactor->control_port())) != std::string::npos);
}

// Of the kernel, on this port of any IPv4 address.
std::size_t listening_sockets(std::uint16_t port) {
  std::ifstream table("/proc/net/tcp");
  std::string line, number, local, remote, state;
  std::size_t count = 0;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream(line) >> number >> local >> remote >> state;
    const auto colon = local.find(':');
    if (state == "0A" && colon != std::string::npos && std::stoul(local.substr(colon + 1), nullptr, 16) == port) ++count;
  }
  return count;
}

TEST_CASE("reactor: several sockets of the kernel listen on a port, and leave it together") {
  std::uint16_t port = 0;
  {
    Listener coordinator(echo_machine());
    port = coordinator.reactor->control_port();
    CHECK(listening_sockets(port) == kListeningSockets);
    CHECK(listening_sockets(coordinator.reactor->bulk_port()) == kListeningSockets);
    // Connections are dealt to them by their source ports: with 32 of them none stays unused.
    std::vector<std::unique_ptr<Dialer>> clients;
    for (int i = 0; i < 32; ++i) {
      clients.push_back(std::make_unique<Dialer>(coordinator, [&](const Event& event) -> Commands {
        if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{7}}};
        return std::holds_alternative<Received>(event) ? Commands{Halt{0, ""}} : Commands{};
      }));
      coordinator.admit(clients.back()->key());
      CHECK(clients.back()->run() == 0);
    }
    CHECK(coordinator.received() == 32);
  }
  CHECK(listening_sockets(port) == 0);
}

TEST_CASE("reactor: listens on addresses only, and says so") {
  Listener other(echo_machine());
  for (const char* host : {"lo", "localhost", "256.0.0.1"}) {
    const auto reactor = make_listener({host, 0, 0}, other.parts());
    REQUIRE(!reactor);
    CHECK(reactor.error().code == ErrorCode::kInvalidArgument);
    CHECK(reactor.error().message.find(host) != std::string::npos);
  }
}

TEST_CASE("caller: asks, publishes and fetches") {
  const Bytes down = bytes_of_size(2 * kChunkBytes + 1, 4);
  Listener coordinator([](const Event& event) -> Commands {
    static Link asker;  // one caller only
    if (const auto* received = std::get_if<Received>(&event)) {
      asker = received->from;
      const auto& request = std::get<OperatorRequest>(received->message);
      return {FetchBlob{1, asker.peer, std::get<SubmitJob>(request.verb).job}};
    }
    if (std::holds_alternative<BlobFetched>(event))
      return {Send{asker, OperatorReply{76, Done{"to another question"}}},
              Send{asker, OperatorReply{77, Submitted{4}}}};
    return {};
  });
  const BlobRef offered = coordinator.blobs.put(down).value();
  const CurveKey key = random_key();
  coordinator.admit(key.public_key());
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  MemoryBlobs blobs;
  const BlobRef job = blobs.put(bytes_of_size(1000, 3)).value();
  const auto caller = make_caller(coordinator.address(), key, blobs).value();
  caller->publish(job);
  const Result<Message> reply = caller->call(OperatorRequest{77, SubmitJob{1, job}}, 10s);
  CAPTURE((reply ? std::string() : reply.error().message));
  REQUIRE(reply);
  CHECK(std::get<OperatorReply>(*reply).answer == OperatorAnswer(Submitted{4}));
  std::uint64_t seen = 0;
  const Result<Bytes> fetched = caller->fetch(offered, 10s, [&](std::uint64_t bytes) { seen = bytes; });
  CAPTURE((fetched ? std::string() : fetched.error().message));
  REQUIRE(fetched);
  CHECK(*fetched == down);
  CHECK(seen == down.size());
  const Result<Bytes> missing = caller->fetch({Digest{{9}}, 5}, 10s, {});
  REQUIRE(!missing);
  CHECK(missing.error().code == ErrorCode::kNotFound);
}

TEST_CASE("caller: a request that a broken connection may have swallowed is sent again") {
  std::atomic<int> heard{0};
  Listener first([&](const Event& event) -> Commands {
    heard += std::holds_alternative<Received>(event) ? 1 : 0;
    return {};
  });
  const DialConfig to = first.address();
  const CurveKey key = random_key();
  first.admit(key.public_key());
  MemoryBlobs blobs;
  const auto caller = make_caller(to, key, blobs).value();
  Result<Message> reply = unexpected(ErrorCode::kInternal, "none");
  std::thread asking([&] { reply = caller->call(OperatorRequest{7, StopJob{1}}, 15s); });
  first.wait_until([&] { return heard == 1; });
  first.stop();  // and another takes its place and key
  Listener second(
      [](const Event& event) -> Commands {
        const auto* received = std::get_if<Received>(&event);
        if (received == nullptr) return {};
        return {Send{received->from, OperatorReply{7, Done{"stopped"}}}};
      },
      first, {AdmitPeer{key.public_key(), Admission::kMember}});
  asking.join();
  CAPTURE((reply ? std::string() : reply.error().message));
  REQUIRE(reply);
  CHECK(std::get<OperatorReply>(*reply).answer == OperatorAnswer(Done{"stopped"}));
}

TEST_CASE("caller: says what is wrong with the link") {
  Listener coordinator(echo_machine());
  const CurveKey key = random_key();
  MemoryBlobs blobs;
  DialConfig to = coordinator.address();
  const OperatorRequest request{1, ListNodes{0}};
  const auto error_of = [&](const DialConfig& config) {
    const auto caller = make_caller(config, key, blobs).value();
    return caller->call(request, 600ms).error();
  };
  SUBCASE("an unknown key") {
    const Error error = error_of(to);
    CHECK(error.code == ErrorCode::kPermissionDenied);
    CHECK(error.message.find("not known to the coordinator") != std::string::npos);
  }
  SUBCASE("nobody there") {
    to.coordinator.control_port = free_port();
    const Error error = error_of(to);
    CHECK(error.code == ErrorCode::kUnavailable);
    CHECK(error.message.find("nothing listens at") != std::string::npos);
  }
  SUBCASE("another coordinator's key") {
    coordinator.admit(key.public_key());
    to.coordinator.curve = random_key().public_key();
    const Error error = error_of(to);
    CHECK(error.message.find("differs from the pinned one") != std::string::npos);
  }
  SUBCASE("no answer") {
    coordinator.admit(key.public_key());
    Listener silent([](const Event&) -> Commands { return {}; });
    silent.admit(key.public_key());
    const Error error = error_of(silent.address());
    CHECK(error.code == ErrorCode::kUnavailable);
    CHECK(error.message.find("does not answer") != std::string::npos);
  }
  SUBCASE("a host that is none") {
    to.coordinator.host = "a;b";
    const auto caller = make_caller(to, key, blobs);
    REQUIRE(!caller);
    CHECK(caller.error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("reactor: a restarted coordinator is noticed at once, and what was said meanwhile arrives") {
  Listener first(echo_machine());
  std::atomic<int> pings{0};
  std::atomic<int> echoes{0};
  std::atomic<bool> gone{false};
  Dialer client(first, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{first.link(), Heartbeat{1}}, SetTimer{"look", 20ms}};
    if (const auto* received = std::get_if<Received>(&event)) {
      pings += std::holds_alternative<Ping>(received->message) ? 1 : 0;
      echoes += std::holds_alternative<Heartbeat>(received->message) ? 1 : 0;
    }
    if (std::holds_alternative<TimerFired>(event))
      return gone ? Commands{Send{first.link(), Heartbeat{2}}} : Commands{SetTimer{"look", 20ms}};
    return {};
  });
  first.admit(client.key());
  client.start();
  client.wait_until([&] { return echoes == 1; });
  first.stop();
  client.log.wait_for("link_down");
  gone = true;
  Listener second(echo_machine(), first, {AdmitPeer{client.key(), Admission::kMember}});
  client.wait_until([&] { return pings == 1 && echoes == 2; });
  client.finish();
}

TEST_CASE("reactor: an idle client holds one connection, and a second only once blobs move") {
  Listener coordinator(echo_machine());
  std::atomic<bool> fetched{false};
  const BlobRef offered = coordinator.blobs.put(bytes_of_size(1000, 5)).value();
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{1}}};
    if (std::holds_alternative<Received>(event)) return {FetchBlob{1, coordinator.key(), offered}};
    fetched = fetched || std::holds_alternative<BlobFetched>(event);
    return {};
  });
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  coordinator.admit(client.key());
  client.start();
  client.wait_until([&] { return fetched.load(); });
  client.finish();
  const std::string log = client.log.text();
  const std::string bulk = ":" + std::to_string(coordinator.reactor->bulk_port());
  const std::string control = ":" + std::to_string(coordinator.reactor->control_port());
  CHECK(log.find(bulk) != std::string::npos);
  CHECK(log.find(bulk) > log.find(control));
}

TEST_CASE("reactor: a peer that asks for the same blob again and again is held back") {
  Listener coordinator(echo_machine());
  const Bytes content = bytes_of_size(4 * kChunkBytes, 6);
  const BlobRef offered = coordinator.blobs.put(content).value();
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  RawPeer greedy(coordinator, RawPeer::Port::kBulk);
  std::size_t got = 0;
  for (int i = 0; i < 100; ++i) {  // 100 MiB of a blob of one
    greedy.send(encode(ChunkWant{offered.id, {0, 1, 2, 3}}));
    if (coordinator.log.text().find("chunks_withheld") != std::string::npos) break;
    for (int chunk = 0; chunk < 4; ++chunk) got += greedy.receive_within(500ms).empty() ? 0 : 1;
  }
  coordinator.log.wait_for("chunks_withheld");
  CHECK(got >= 16);
  CHECK(got <= 16 + 64 + 8);
}

TEST_CASE("reactor: a peer that asks for the same list again and again is held back") {
  Listener coordinator(echo_machine());
  const BlobRef offered = coordinator.blobs.put(bytes_of_size(4 * kChunkBytes, 6)).value();
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  RawPeer greedy(coordinator, RawPeer::Port::kBulk);
  for (int i = 0; i < 200; ++i) greedy.send(encode(ChunkListWant{offered, 0}));
  coordinator.log.wait_for("chunks_withheld");
  std::size_t got = 0;
  while (!greedy.receive_within(500ms).empty()) ++got;
  CHECK(got > 8);
  CHECK(got <= 68);
  RawPeer honest(coordinator, RawPeer::Port::kBulk);
  honest.send(encode(ChunkListWant{offered, 0}));
  CHECK(honest.receive().size() > 4 * 32);
}

TEST_CASE("reactor: members that ask and never read shut nobody out, and are cut") {
  ListenConfig config{"127.0.0.1", 0, 0};
  config.send_bytes_max = 16 << 20;  // 12 MiB for blobs, 3 of them for everybody's floor
  config.unread_max = 2s;
  Listener coordinator(echo_machine(), config);
  const BlobRef offered = coordinator.blobs.put(bytes_of_size(8 * kChunkBytes, 6)).value();
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  const Bytes all = encode(ChunkWant{offered.id, {0, 1, 2, 3, 4, 5, 6, 7}});
  RawPeer first = RawPeer::deaf(coordinator, RawPeer::Port::kBulk), second = RawPeer::deaf(coordinator, RawPeer::Port::kBulk);
  for (int i = 0; i < 11; ++i) first.send(all);  // 22 MiB: more than its queue and all buffers, less than it may have
  coordinator.log.wait_for("send_dropped");
  for (int i = 0; i < 14; ++i) second.send(all);
  coordinator.log.wait_for("chunks_withheld");  // so all of it was offered
  // Their two queues are more than there is for all. Two chunks at a time get through to others.
  RawPeer innocent(coordinator, RawPeer::Port::kBulk);
  const auto arrived = [&](RawPeer& peer, const Bytes& want) {
    peer.send(want);
    std::size_t chunks = 0;
    while (chunks < 8 && peer.receive_within(1s).size() > kChunkBytes) ++chunks;
    return chunks;
  };
  CHECK(arrived(innocent, all) == 2);
  CHECK(arrived(innocent, encode(ChunkWant{offered.id, {2, 3}})) == 2);
  std::size_t most = 0;
  for (int tries = 0; tries < 9 && most < 8; ++tries) most = arrived(innocent, all);
  CHECK(most == 8);  // the deaf ones were cut, and what they held is free
}

TEST_CASE("reactor: what those who left did not read is charged to nobody") {
  ListenConfig config{"127.0.0.1", 0, 0};
  config.send_bytes_max = 16 << 20;
  config.unread_max = 10min;  // only that they are gone can help
  Listener coordinator(echo_machine(), config);
  const BlobRef offered = coordinator.blobs.put(bytes_of_size(8 * kChunkBytes, 6)).value();
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  const Bytes all = encode(ChunkWant{offered.id, {0, 1, 2, 3, 4, 5, 6, 7}});
  for (int visit = 0; visit < 12; ++visit) {  // 24 MiB, of which each reads a chunk at most
    RawPeer visitor(coordinator, RawPeer::Port::kBulk);
    visitor.send(all);
    visitor.receive_within(100ms);
  }
  RawPeer innocent(coordinator, RawPeer::Port::kBulk);
  std::size_t most = 0;
  for (int tries = 0; tries < 10 && most < 8; ++tries) {
    innocent.send(all);
    std::size_t chunks = 0;
    while (chunks < 8 && innocent.receive_within(1s).size() > kChunkBytes) ++chunks;
    most = std::max(most, chunks);
  }
  CHECK(most == 8);
}

// TCP cuts only who takes nothing at all.
TEST_CASE("reactor: a member that asks for more than it reads is cut after a while, and others are not") {
  ListenConfig config{"127.0.0.1", 0, 0};
  config.unread_max = 60s;
  config.full_max = 2s;
  Listener coordinator(echo_machine(), config);
  const BlobRef offered = coordinator.blobs.put(bytes_of_size(64 * kChunkBytes, 6)).value();
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  RawPeer greedy = RawPeer::deaf(coordinator, RawPeer::Port::kBulk), honest(coordinator, RawPeer::Port::kBulk);
  const auto wanted = [&](std::uint32_t from, std::uint32_t count) {
    ChunkWant want{offered.id, {}};
    for (std::uint32_t i = from; i < from + count; ++i) want.indices.push_back(i);
    return encode(want);
  };
  const auto cut = [&] { return coordinator.log.text().find("peer_cut") != std::string::npos; };
  for (std::uint32_t i = 0; i < 12; ++i) greedy.send(wanted(i % 8 * 8, 8));  // more than its queue and all buffers
  std::uint32_t turns = 0;
  std::size_t read = 0, honest_read = 0;
  for (; !cut() && turns < 200; ++turns) {
    greedy.send(wanted(turns % 64, 1));
    if (turns % 3 == 0) read += greedy.receive_within(100ms).empty() ? 0 : 1;
    if (turns % 3 == 1) honest.send(wanted(turns % 64, 1));
    honest_read += honest.receive_within(100ms).empty() ? 0 : 1;
  }
  CHECK(cut());
  CHECK(read > 0);
  CHECK(honest_read > 4);
  const std::string log = coordinator.log.text();
  CHECK(log.find(short_hex(greedy.key()), log.find("peer_cut")) != std::string::npos);
  while (!honest.receive_within(200ms).empty()) ++honest_read;
  honest.send(wanted(0, 1));
  CHECK(honest.receive().size() > kChunkBytes);
}
