#include "core/protocol/key_change.h"

#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::string_view kDomain = "covey key change";

void put(ByteWriter& out, const KeyPlace& place) {
  out.fixed(place.key).number(place.control_port).number(place.bulk_port);
}

KeyPlace get_place(ByteReader& in) {
  KeyPlace place;
  place.key = in.fixed<PeerKey>();
  place.control_port = in.number<std::uint16_t>();
  place.bulk_port = in.number<std::uint16_t>();
  return place;
}

ByteWriter signed_part(const KeyChange& change) {
  ByteWriter out;
  out.u8(kFormat).fixed(change.record);
  put(out, change.before);
  put(out, change.after);
  out.u64(change.serial).instant(change.not_before).instant(change.old_until);
  return out;
}

std::string text_of(const KeyPlace& place) {
  return short_hex(place.key) + " at " + std::to_string(place.control_port) + " and " + std::to_string(place.bulk_port);
}

Result<void> check(const KeyChange& change) {
  const KeyPlace& a = change.before;
  const KeyPlace& b = change.after;
  const auto bad = [&](const std::string& rule) {
    return unexpected(ErrorCode::kInvalidData, "key change from " + text_of(a) + " to " + text_of(b) + ": " + rule);
  };
  if (a.key == b.key || a.key.is_zero() || b.key.is_zero()) return bad("two different keys are needed");
  for (const std::uint16_t port : {a.control_port, a.bulk_port, b.control_port, b.bulk_port})
    if (port == 0) return bad("ports run from 1 to 65535");
  if (a.control_port == a.bulk_port || b.control_port == b.bulk_port) return bad("control and bulk port must differ");
  for (const std::uint16_t port : {b.control_port, b.bulk_port})
    if (port == a.control_port || port == a.bulk_port)
      return bad("both keys are served at once, so the new one needs two ports of its own");
  if (change.serial == 0 || change.serial > kKeyChangeSerialMax)
    return bad("its serial is " + std::to_string(change.serial) + ", must lie in [1, 2^48]");
  if (unix_nanos(change.not_before) < 0 || change.old_until <= change.not_before)
    return bad("the key before must be served longer than nodes stay with it");
  return {};
}

}  // namespace

Bytes encode(const KeyChange& change) { return signed_part(change).fixed(change.signature).take(); }

Result<KeyChange> decode_key_change(ByteSpan bytes) {
  ByteReader in(bytes);
  if (const std::uint8_t format = in.u8(); format != kFormat)
    return unexpected(ErrorCode::kInvalidMessage, "key change has format " + std::to_string(format) +
                                                      ", this version reads " + std::to_string(kFormat));
  KeyChange change;
  change.record = in.fixed<VerifyKey>();
  change.before = get_place(in);
  change.after = get_place(in);
  change.serial = in.u64();
  change.not_before = in.instant();
  change.old_until = in.instant();
  change.signature = in.fixed<Signature>();
  COVEY_TRY_VOID(in.finish("key change"));
  COVEY_TRY_VOID(check(change));
  return change;
}

void sign(KeyChange& change, const SigningKey& authority) {
  change.signature = authority.sign(kDomain, signed_part(change).bytes());
}

Result<void> verify(const KeyChange& change, const VerifyKey& authority, const VerifyKey& record) {
  if (change.record != record)
    return unexpected(ErrorCode::kPermissionDenied, "the key change is of another coordinator: its record key begins with " +
                                                        short_hex(change.record) + ", not with " + short_hex(record));
  if (verify(authority, kDomain, signed_part(change).bytes(), change.signature)) return {};
  return unexpected(ErrorCode::kPermissionDenied, "the key change was not made by the authority of this coordinator");
}

CoordinatorAddress moved_to(CoordinatorAddress address, const KeyPlace& place) {
  address.curve = place.key;
  address.control_port = place.control_port;
  address.bulk_port = place.bulk_port;
  return address;
}

}  // namespace covey
