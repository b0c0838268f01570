#include "core/protocol/key_change.h"

#include <doctest/doctest.h>

#include "core/base/wire.h"

using namespace covey;

namespace {

SigningKey signing(std::uint8_t seed) { return SigningKey::from_seed(Secret<32>(std::array<std::uint8_t, 32>{seed})); }

KeyChange sample() {
  KeyChange change{signing(2).public_key(), {PeerKey{{1}}, 7700, 7701}, {PeerKey{{2}}, 7702, 7703}, 5,
                   instant_of_nanos(1'000), instant_of_nanos(2'000), {}};
  sign(change, signing(1));
  return change;
}

bool refused(const KeyChange& change, const std::string& words) {
  const auto decoded = decode_key_change(encode(change));
  return !decoded && decoded.error().message.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("key change: is read as it was written, and holds for its coordinator and authority only") {
  const KeyChange change = sample();
  CHECK(decode_key_change(encode(change)).value() == change);
  CHECK(verify(change, signing(1).public_key(), signing(2).public_key()));
  CHECK(verify(change, signing(3).public_key(), signing(2).public_key()).error().code == ErrorCode::kPermissionDenied);
  CHECK(verify(change, signing(1).public_key(), signing(3).public_key()).error().message.find("another coordinator") != std::string::npos);
  for (std::size_t i = 1; i < encode(change).size(); ++i) {  // every byte is signed
    Bytes bytes = encode(change);
    bytes[i] ^= 1;
    const auto decoded = decode_key_change(bytes);
    CHECK_FALSE((decoded && verify(*decoded, signing(1).public_key(), signing(2).public_key())));
  }
}

TEST_CASE("key change: what no change can be is refused, with the reason") {
  const auto with = [](auto change_it) {
    KeyChange change = sample();
    change_it(change);
    return change;
  };
  CHECK(refused(with([](KeyChange& c) { c.after.key = c.before.key; }), "two different keys"));
  CHECK(refused(with([](KeyChange& c) { c.after.key = PeerKey{}; }), "two different keys"));
  CHECK(refused(with([](KeyChange& c) { c.after.bulk_port = 0; }), "1 to 65535"));
  CHECK(refused(with([](KeyChange& c) { c.after.bulk_port = c.after.control_port; }), "must differ"));
  CHECK(refused(with([](KeyChange& c) { c.after.control_port = c.before.bulk_port; }), "two ports of its own"));
  CHECK(refused(with([](KeyChange& c) { c.serial = 0; }), "serial"));
  CHECK(refused(with([](KeyChange& c) { c.serial = kKeyChangeSerialMax + 1; }), "serial"));
  CHECK(refused(with([](KeyChange& c) { c.old_until = c.not_before; }), "longer"));
  CHECK(refused(with([](KeyChange& c) { c.not_before = instant_of_nanos(-1); }), "longer"));
  Bytes bytes = encode(sample());
  bytes[0] = 2;
  CHECK(decode_key_change(bytes).error().message.find("format 2") != std::string::npos);
  bytes[0] = 1;
  bytes.push_back(0);
  CHECK_FALSE(decode_key_change(bytes));
  CHECK_FALSE(decode_key_change({}));
}

TEST_CASE("key change: an address moves with its key and ports, and keeps the rest") {
  const KeyChange change = sample();
  const CoordinatorAddress address{"hub", 7700, 7701, change.before.key, signing(1).public_key(), change.record};
  const CoordinatorAddress moved = moved_to(address, change.after);
  CHECK(moved.curve == change.after.key);
  CHECK(moved.control_port == 7702);
  CHECK(moved.bulk_port == 7703);
  CHECK(moved_to(moved, change.before) == address);
}
