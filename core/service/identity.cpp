#include "core/service/identity.h"

#include "core/base/wire.h"
#include "core/crypto/key_file.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

constexpr std::string_view kSigningKind = "covey-signing-key-v1";
constexpr std::string_view kCurveKind = "covey-curve-key-v1";
constexpr std::size_t kMembershipBytesMax = 16 * 1024;

// The key in `path`, or a fresh one saved there.
Result<Secret<32>> load_or_make(const std::string& path, std::string_view kind, SecureRandom& random) {
  auto loaded = load_secret<32>(path, kind);
  if (loaded || loaded.error().code != ErrorCode::kNotFound) return loaded;
  Secret<32> fresh = Secret<32>::random(random);
  COVEY_TRY_VOID(save_secret(path, kind, fresh));
  return fresh;
}

}  // namespace

Result<NodeKeys> load_or_make_keys(const std::string& folder, SecureRandom& random) {
  COVEY_TRY_VOID(make_folders(folder, 0700));
  COVEY_TRY(Secret<32> signing, load_or_make(folder + "/signing.key", kSigningKind, random));
  COVEY_TRY(Secret<32> curve, load_or_make(folder + "/curve.key", kCurveKind, random));
  return NodeKeys{SigningKey::from_seed(std::move(signing)), CurveKey::from_secret(std::move(curve))};
}

Result<NodeKeys> load_keys(const std::string& folder) {
  COVEY_TRY(Secret<32> signing, load_secret<32>(folder + "/signing.key", kSigningKind));
  COVEY_TRY(Secret<32> curve, load_secret<32>(folder + "/curve.key", kCurveKind));
  return NodeKeys{SigningKey::from_seed(std::move(signing)), CurveKey::from_secret(std::move(curve))};
}

Result<std::optional<Membership>> load_membership(const std::string& folder) {
  const std::string path = folder + "/membership.bin";
  auto bytes = read_filled_file(path, kMembershipBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::optional<Membership>();
  if (!bytes) return unexpected(bytes.error());
  ByteReader in(*bytes);
  const ByteSpan certificate = in.blob();
  const ByteSpan address = in.blob();
  if (const auto whole = in.finish(path); !whole) return unexpected(whole.error());
  auto made = decode_certificate(certificate);
  if (!made) return unexpected(in_file(path, made.error()));
  auto coordinator = decode_address(address);
  if (!coordinator) return unexpected(in_file(path, coordinator.error()));
  return std::optional<Membership>(Membership{std::move(*made), std::move(*coordinator)});
}

Result<KeyChange> read_key_change(const std::string& path, const CoordinatorAddress& coordinator) {
  COVEY_TRY(const Bytes bytes, read_file(path, kMembershipBytesMax));
  auto change = decode_key_change(bytes);
  if (!change) return unexpected(in_context(path, change.error()));
  if (const auto ours = verify(*change, coordinator.authority, coordinator.record); !ours)
    return unexpected(in_context(path, ours.error()));
  return change;
}

Result<std::optional<KeyChange>> load_key_change(const std::string& folder, const Membership& membership) {
  auto change = read_key_change(folder + "/key-change.bin", membership.coordinator);
  if (!change && change.error().code == ErrorCode::kNotFound) return std::optional<KeyChange>();
  if (!change) return unexpected(change.error());
  return std::optional<KeyChange>(*std::move(change));
}

Result<bool> save_key_change(const std::string& folder, const Membership& membership, const KeyChange& change) {
  COVEY_TRY_VOID(verify(change, membership.coordinator.authority, membership.coordinator.record));
  COVEY_TRY(const auto known, load_key_change(folder, membership));
  if (known && known->serial >= change.serial) return false;
  COVEY_TRY_VOID(write_file(folder + "/key-change.bin", encode(change)));
  return true;
}

Result<void> save_membership(const std::string& folder, const Membership& membership) {
  ByteWriter out;
  out.blob(encode(membership.certificate)).blob(encode(membership.coordinator));
  return write_file(folder + "/membership.bin", out.bytes());
}

Certificate certificate_for(const JoinToken& token, const NodeKeys& keys, const std::string& name) {
  Certificate certificate{name, keys.signing.public_key(), keys.curve.public_key(), token.delegation, {}};
  sign(certificate, token.one_time_signing);
  return certificate;
}

}  // namespace covey
