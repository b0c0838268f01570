#include "coordinator/service/home.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "coordinator/service/key_folder.h"
#include "core/base/clock.h"
#include "core/crypto/key_file.h"
#include "core/service/identity.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAuthorityKind = "covey-authority-key-v1";
constexpr std::string_view kRecordKind = "covey-record-key-v1";
constexpr std::size_t kSmallFileBytesMax = 16 * 1024;

// The first operator needs no token to carry: init plays both sides of the enrolment.
Result<Certificate> make_operator(const InitRequest& request, const SigningKey& authority, const CoordinatorAddress& address) {
  SystemRandom random;
  const std::string folder = operator_folder(request.home);
  COVEY_TRY(NodeKeys keys, load_or_make_keys(folder, random));
  JoinToken token{address, {}, SigningKey::generate(random), CurveKey::generate(random)};
  random.fill(token.delegation.token.bytes);
  token.delegation.role = Role::kOperator;
  token.delegation.expires = instant_of_nanos(0);  // spent: enrolment happens here, once
  token.delegation.members_until = SystemClock().now() + kMembershipMax;
  token.delegation.one_time_curve = token.one_time_curve.public_key();
  token.delegation.one_time_signing = token.one_time_signing.public_key();
  sign(token.delegation, authority);
  const Certificate certificate = certificate_for(token, keys, request.operator_name);
  COVEY_TRY(Certificate checked, decode_certificate(encode(certificate)));  // refuses a bad name
  COVEY_TRY_VOID(save_membership(folder, {checked, address}));
  return checked;
}

std::string coordinator_toml(const InitRequest& request) {
  return "# Read by covey-coordinator; a flag on its command line wins.\n"
         "# Where to listen: 127.0.0.1 for this machine alone, 0.0.0.0 for every network.\n"
         "listen = \"" + std::string(request.host == "127.0.0.1" || request.host == "localhost" ? "127.0.0.1" : "0.0.0.0") +
         "\"\ncontrol-port = " + std::to_string(request.control_port) +
         "\nbulk-port = " + std::to_string(request.bulk_port) + "\n";
}

// In the order of their names.
std::vector<std::string> files_ending(const std::string& folder, const char* ending) {
  std::vector<std::string> paths;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code))
    if (entry.path().extension() == ending) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Error damaged_record(const std::string& path, const Error& why) {
  return {ErrorCode::kInvalidData, path + ": " + why.message + "; put it back from a copy of this folder, or move it away: "
                                                               "operators whom the coordinator's data know stay known"};
}

template <class T>
Result<std::vector<T>> read_all(const std::string& folder, const char* ending, Result<T> (*decode)(ByteSpan)) {
  std::vector<T> all;
  for (const std::string& path : files_ending(folder, ending)) {
    COVEY_TRY(Bytes encoded, read_filled_file(path, kSmallFileBytesMax));
    auto read = decode(encoded);
    if (!read) return unexpected(damaged_record(path, read.error()));
    all.push_back(std::move(*read));
  }
  return all;
}

// address.bin is written after curve.key took its new place, so it may lag behind by one change.
bool fits_address(const CoordinatorHome& home) {
  const PeerKey key = home.curve.public_key();
  if (home.changes.empty()) return key == home.address.curve;
  const KeyChange& newest = home.changes.back();
  return (key == newest.before.key || key == newest.after.key) &&
         (home.address.curve == key || home.address.curve == newest.before.key);
}

}  // namespace

std::string default_home() {
  if (const char* home = std::getenv("COVEY_HOME"); home != nullptr && *home != '\0') return home;
  if (const char* user = std::getenv("HOME"); user != nullptr && *user != '\0') return std::string(user) + "/.covey";
  return ".covey";
}

std::string authority_folder(const std::string& home) { return home + "/authority"; }
std::string coordinator_folder(const std::string& home) { return home + "/coordinator"; }
std::string operator_folder(const std::string& home) { return home + "/operator"; }

Result<CoordinatorAddress> init_home(const InitRequest& request) {
  std::error_code code;
  for (const std::string& folder : {authority_folder(request.home), coordinator_folder(request.home), operator_folder(request.home)})
    if (fs::exists(folder, code))
      return unexpected(ErrorCode::kAlreadyExists, folder + " is there already and keys are never overwritten; choose another --home or move it away");
  SystemRandom random;
  const SigningKey authority = SigningKey::generate(random);
  const CurveKey curve = CurveKey::generate(random);
  const SigningKey record = SigningKey::generate(random);
  const CoordinatorAddress address{request.host,       request.control_port,   request.bulk_port,
                                   curve.public_key(), authority.public_key(), record.public_key()};
  COVEY_TRY(CoordinatorAddress checked, decode_address(encode(address)));  // refuses a bad host or port
  COVEY_TRY_VOID(check_node_name(request.operator_name));
  COVEY_TRY_VOID(make_folders(authority_folder(request.home), 0700));
  COVEY_TRY_VOID(save_secret(authority_folder(request.home) + "/authority.key", kAuthorityKind, authority.seed()));

  const std::string folder = coordinator_folder(request.home);
  COVEY_TRY_VOID(make_folders(folder, 0700));
  COVEY_TRY_VOID(save_secret(folder + "/curve.key", "covey-curve-key-v1", curve.secret()));
  COVEY_TRY_VOID(save_secret(folder + "/record.key", kRecordKind, record.seed()));
  COVEY_TRY_VOID(write_file(folder + "/address.bin", encode(checked)));
  COVEY_TRY_VOID(write_file(folder + "/coordinator.toml", bytes_of(coordinator_toml(request))));
  COVEY_TRY(Certificate first, make_operator(request, authority, checked));
  COVEY_TRY_VOID(make_folders(folder + "/operators", 0700));
  COVEY_TRY_VOID(write_file(folder + "/operators/" + first.name + ".cert", encode(first)));
  return checked;
}

Result<SigningKey> load_authority(const std::string& home) {
  const std::string path = authority_folder(home) + "/authority.key";
  auto seed = load_secret<32>(path, kAuthorityKind);
  if (!seed && seed.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, path + " is not here; run `covey init` first, or name the folder with --home");
  if (!seed) return unexpected(seed.error());
  return SigningKey::from_seed(std::move(*seed));
}

std::vector<PeerKey> known_keys(const CoordinatorHome& home) {
  std::vector<PeerKey> keys{home.curve.public_key()};
  for (const KeyChange& change : home.changes) keys.insert(keys.end(), {change.before.key, change.after.key});
  return keys;
}

const KeyChange* change_under_way(const CoordinatorHome& home) {
  const bool lasts = !home.changes.empty() && home.changes.back().before.key == home.curve.public_key();
  return lasts ? &home.changes.back() : nullptr;
}

Result<void> check_operators(const std::string& folder, const VerifyKey& authority) {
  for (const std::string& path : files_ending(folder + "/operators", ".cert")) {
    COVEY_TRY(const Bytes encoded, read_filled_file(path, kSmallFileBytesMax));
    const auto certificate = decode_certificate(encoded);
    if (!certificate) return unexpected(damaged_record(path, certificate.error()));
    if (const auto checked = verify(*certificate, authority); !checked)
      return unexpected(damaged_record(path, {checked.error().code, checked.error().message + " (or " + folder +
                                                                        "/address.bin is damaged, which names the authority)"}));
  }
  return {};
}

Result<CoordinatorHome> load_coordinator_home(const std::string& folder) {
  auto curve = load_current_key(folder);
  if (!curve && curve.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, folder + " holds no coordinator (no curve.key); run `covey init` first, or name the folder with --home");
  if (!curve) return unexpected(curve.error());
  const auto bytes = read_filled_file(folder + "/address.bin", kSmallFileBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, folder + " holds no address.bin, which says where and who this coordinator is; put it back from a copy of this folder");
  if (!bytes) return unexpected(bytes.error());
  auto address = decode_address(*bytes);
  if (!address) return unexpected(in_file(folder + "/address.bin", address.error()));
  auto record = load_secret<32>(folder + "/record.key", kRecordKind);
  if (!record && record.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, folder + " holds no record.key, which signs the audit log; restore it from a backup of this folder (a home of "
                                                     "a version without it is made anew with `covey init`)");
  if (!record) return unexpected(record.error());
  COVEY_TRY(std::vector<KeyChange> changes, load_key_changes(folder, *address));
  CoordinatorHome home{std::move(*curve),
                       std::make_shared<const SigningKey>(SigningKey::from_seed(std::move(*record))), std::move(*address), std::move(changes), {}, {}};
  for (const auto& [fits, name] : {std::pair(fits_address(home), "curve.key"),
                                   std::pair(home.record->public_key() == home.address.record, "record.key")})
    if (!fits)
      return unexpected(ErrorCode::kCorrupted, folder + ": " + name + " does not fit address.bin; restore both from one backup");
  if (!home.changes.empty()) home.address = moved_to(home.address, home.changes.back().after);

  COVEY_TRY(home.operators, read_all<Certificate>(folder + "/operators", ".cert", decode_certificate));
  COVEY_TRY(home.renewals, read_all<Renewal>(folder + "/operators", ".renewal", decode_renewal));
  return home;
}

}  // namespace covey
