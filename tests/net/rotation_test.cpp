// A second key on the same sockets, and diallers that go over to it.
#include <doctest/doctest.h>

#include "tests/net/loopback.h"

using namespace covey;
using namespace covey::loopback;

namespace {

// A listener that can serve one more key, and the change to it.
struct Rotation {
  explicit Rotation(Listener& listener, Duration overlap = 1h) {
    const Instant now = listener.clock.now();
    change.before = {listener.key(), listener.reactor->control_port(), listener.reactor->bulk_port()};
    change.after = {PeerKey{}, free_port(), free_port()};
    change.serial = 1;
    change.not_before = now;
    change.old_until = now + overlap;
  }
  KeyChange change;
};

ListenConfig with_keys(std::shared_ptr<CurveKey> next) {
  ListenConfig config{"127.0.0.1", 0, 0};
  config.key_of = [next](const PeerKey& key) -> Result<CurveKey> {
    if (key == next->public_key()) return CurveKey::from_secret(next->secret().clone());
    return unexpected(ErrorCode::kNotFound, "no such key");
  };
  return config;
}

bool reaches(const CoordinatorAddress& address, const CurveKey& key) {
  MemoryBlobs blobs;
  const auto caller = make_caller({address}, key, blobs).value();
  return caller->call(OperatorRequest{7, ListNodes{0}}, 2s).has_value();
}

Commands answer_requests(const Event& event) {
  const auto* received = std::get_if<Received>(&event);
  if (received == nullptr) return {};
  if (std::holds_alternative<OperatorRequest>(received->message)) return {Send{received->from, OperatorReply{7, Done{"yes"}}}};
  return {Send{received->from, received->message}};
}

}  // namespace

TEST_CASE("reactor: serves two keys at once, refuses strangers with both, and drops one with its connections") {
  const auto next = std::make_shared<CurveKey>(random_key());
  Listener coordinator(answer_requests, with_keys(next));
  const Rotation rotation(coordinator);
  const KeyPlace place{next->public_key(), rotation.change.after.control_port, rotation.change.after.bulk_port};
  const CurveKey member = random_key();
  coordinator.admit(member.public_key());
  const CoordinatorAddress old_address = coordinator.address().coordinator;
  const CoordinatorAddress new_address = moved_to(old_address, place);
  CHECK_FALSE(reaches(new_address, member));
  coordinator.command(ServeKey{5, place});
  coordinator.log.wait_for("key_served");
  coordinator.command(ServeKey{6, place});  // again: nothing
  coordinator.command(ServeKey{7, {PeerKey{{1}}, 1, 2}});
  coordinator.wait_for("work_failed");
  CHECK(reaches(new_address, member));
  CHECK(reaches(old_address, member));
  CHECK_FALSE(reaches(new_address, random_key()));
  CHECK_FALSE(reaches(moved_to(new_address, {old_address.curve, place.control_port, place.bulk_port}), member));

  std::atomic<int> echoes{0};
  Dialer stays(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{1}}};
    echoes += std::holds_alternative<Received>(event) ? 1 : 0;
    return {};
  });
  coordinator.admit(stays.key());
  stays.start();
  stays.wait_until([&] { return echoes == 1; });
  coordinator.command(DropKey{coordinator.key()});
  stays.log.wait_for("link_down");  // a connection of the old key does not outlive it
  CHECK_FALSE(reaches(old_address, member));
  CHECK(reaches(new_address, member));
  stays.finish();
}

TEST_CASE("reactor: a dialler goes over to the new key, and what it fetches meanwhile arrives whole") {
  const auto next = std::make_shared<CurveKey>(random_key());
  Listener coordinator(echo_machine(), with_keys(next));
  const Rotation rotation(coordinator);
  KeyChange change = rotation.change;
  change.after.key = next->public_key();
  const Bytes content = bytes_of_size(96 * kChunkBytes, 3);
  const BlobRef offered = coordinator.blobs.put(content).value();
  std::atomic<int> pings{0}, fetched{0};
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {FetchBlob{1, coordinator.key(), offered}, FollowKey{change}};
    if (std::holds_alternative<BlobFetched>(event)) ++fetched;
    const auto* received = std::get_if<Received>(&event);
    if (received != nullptr && std::holds_alternative<Ping>(received->message)) ++pings;
    return {};
  });
  coordinator.command(PublishBlob{offered.id, std::nullopt});
  coordinator.command(ServeKey{5, change.after});
  coordinator.admit(client.key());
  client.start();
  client.log.wait_for("link_moved");
  client.wait_until([&] { return fetched == 1 && pings >= 1; });
  CHECK(client.blobs.get(offered.id).value() == content);
  coordinator.command(DropKey{coordinator.key()});
  CHECK(client.log.text().find("bulk_link_failed") == std::string::npos);
  client.finish();
}

TEST_CASE("reactor: a dialler that knows of a change starts at the new key, and where that is shut at the one before") {
  const auto next = std::make_shared<CurveKey>(random_key());
  Listener coordinator(echo_machine(), with_keys(next));
  const Rotation rotation(coordinator);
  KeyChange change = rotation.change;
  change.after.key = next->public_key();
  DialConfig config = coordinator.address();
  config.change = change;
  config.other_after = 200ms;
  std::atomic<int> echoes{0};
  Dialer client(coordinator, config, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {Send{coordinator.link(), Heartbeat{1}}};
    echoes += std::holds_alternative<Received>(event) ? 1 : 0;
    return {};
  });
  coordinator.admit(client.key());
  SUBCASE("open") { coordinator.command(ServeKey{5, change.after}); }
  SUBCASE("shut") {}
  client.start();
  client.wait_until([&] { return echoes >= 1; });
  const bool moved = client.log.text().find("link_moved") != std::string::npos;
  CHECK(moved == (client.log.text().find("link_down") != std::string::npos));
  client.finish();
}

TEST_CASE("reactor: what is fetched from a dialler that goes over arrives whole too") {
  const auto next = std::make_shared<CurveKey>(random_key());
  const Bytes content = bytes_of_size(96 * kChunkBytes, 4);
  const BlobRef offered = MemoryBlobs().put(content).value();
  std::atomic<int> fetched{0}, failed{0};
  Listener coordinator(
      [&](const Event& event) -> Commands {
        fetched += std::holds_alternative<BlobFetched>(event) ? 1 : 0;
        failed += std::holds_alternative<BlobFailed>(event) ? 1 : 0;
        const auto* received = std::get_if<Received>(&event);
        if (received == nullptr || !std::holds_alternative<Heartbeat>(received->message)) return {};
        return {FetchBlob{1, received->from.peer, offered}};
      },
      with_keys(next));
  const Rotation rotation(coordinator);
  KeyChange change = rotation.change;
  change.after.key = next->public_key();
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (!std::holds_alternative<Started>(event)) return {};
    return {PublishBlob{offered.id, std::nullopt}, Send{coordinator.link(), Heartbeat{1}}, FollowKey{change}};
  });
  REQUIRE(client.blobs.put(content));
  coordinator.command(ServeKey{5, change.after});
  coordinator.admit(client.key());
  client.start();
  client.log.wait_for("link_moved");
  coordinator.wait_until([&] { return fetched == 1; });
  CHECK(failed == 0);
  CHECK(coordinator.blobs.get(offered.id).value() == content);
  client.finish();
}

TEST_CASE("reactor: a dialler goes over no earlier than the change says") {
  const auto next = std::make_shared<CurveKey>(random_key());
  Listener coordinator(echo_machine(), with_keys(next));
  const Rotation rotation(coordinator);
  KeyChange change = rotation.change;
  change.after.key = next->public_key();
  change.not_before = coordinator.clock.now() + 1s;
  std::atomic<int> echoes{0};
  Dialer client(coordinator, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {FollowKey{change}, Send{coordinator.link(), Heartbeat{1}}};
    echoes += std::holds_alternative<Received>(event) ? 1 : 0;
    return {};
  });
  coordinator.command(ServeKey{5, change.after});
  coordinator.admit(client.key());
  client.start();
  client.wait_until([&] { return echoes == 1; });  // over the link that it has
  client.log.wait_for("link_moved");
  CHECK(client.clock.now() >= change.not_before);
  client.finish();
}
