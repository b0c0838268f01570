#include "coordinator/service/key_folder.h"

#include <algorithm>
#include <filesystem>

#include "core/base/fault_point.h"
#include "core/base/file.h"
#include "core/crypto/key_file.h"
#include "core/protocol/records.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCurveKind = "covey-curve-key-v1";
constexpr std::size_t kSmallFileBytesMax = 16 * 1024;
constexpr std::size_t kChangesMax = 100'000;  // files; at one a day, 270 years

std::string current_path(const std::string& folder) { return folder + "/curve.key"; }
std::string next_path(const std::string& folder) { return folder + "/curve.next.key"; }
std::string old_path(const std::string& folder) { return folder + "/curve.old.key"; }
std::string changes_folder(const std::string& folder) { return folder + "/key-changes"; }

Result<CurveKey> load(const std::string& path) {
  COVEY_TRY(Secret<32> secret, load_secret<32>(path, kCurveKind));
  return CurveKey::from_secret(std::move(secret));
}

Result<bool> holds(const std::string& path, const PeerKey& key) {
  if (!file_exists(path)) return false;
  COVEY_TRY(const CurveKey found, load(path));
  return found.public_key() == key;
}

Result<void> move_file(const std::string& from, const std::string& to, const std::string& folder) {
  COVEY_TRY_VOID(rename_file(from, to));
  return sync_folder(folder);
}

Result<void> erase_secret(const std::string& path, const std::string& folder) {
  if (!file_exists(path)) return {};
  {
    COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kReadWrite));
    COVEY_TRY(const std::uint64_t size, file_size(file, path));
    COVEY_TRY_VOID(write_at(file, 0, Bytes(static_cast<std::size_t>(std::min<std::uint64_t>(size, kSmallFileBytesMax))), path));
    COVEY_TRY_VOID(sync_file(file, path));
  }
  fault_point("key.old.overwritten");
  COVEY_TRY_VOID(remove_file(path));
  return sync_folder(folder);
}

Result<void> name_in_address(const std::string& folder, const KeyChange& change) {
  const std::string path = folder + "/address.bin";
  COVEY_TRY(const Bytes bytes, read_filled_file(path, kSmallFileBytesMax));
  auto address = decode_address(bytes);
  if (!address) return unexpected(in_file(path, address.error()));
  const CoordinatorAddress moved = moved_to(*address, change.after);
  return moved == *address ? Result<void>() : write_file(path, encode(moved));
}

Unexpected lacks(const std::string& folder, const PeerKey& key, const KeyChange& change) {
  return unexpected(ErrorCode::kCorrupted, folder + " holds no key " + short_hex(key) + ", which its key change " +
                                               std::to_string(change.serial) +
                                               " names; restore curve.key, curve.next.key and key-changes/ from one copy of this folder");
}

}  // namespace

Result<CurveKey> load_current_key(const std::string& folder) {
  const bool between = !file_exists(current_path(folder)) && file_exists(old_path(folder));
  return load(between ? next_path(folder) : current_path(folder));
}

Result<CurveKey> load_key(const std::string& folder, const PeerKey& key) {
  for (const std::string& path : {current_path(folder), next_path(folder)}) {
    COVEY_TRY(const bool found, holds(path, key));
    if (found) return load(path);
  }
  return unexpected(ErrorCode::kNotFound, folder + " holds no key that begins with " + short_hex(key));
}

Result<std::vector<KeyChange>> load_key_changes(const std::string& folder, const CoordinatorAddress& address) {
  std::vector<KeyChange> changes;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(changes_folder(folder), code)) {
    const std::string path = entry.path().string();
    if (entry.path().extension() != ".change") continue;
    if (changes.size() == kChangesMax)
      return unexpected(ErrorCode::kCorrupted, changes_folder(folder) + " holds more than " + std::to_string(kChangesMax) + " files");
    COVEY_TRY(const Bytes bytes, read_file(path, kSmallFileBytesMax));
    auto change = decode_key_change(bytes);
    if (change)
      if (const auto ours = verify(*change, address.authority, address.record); !ours) change = unexpected(ours.error());
    if (!change) return unexpected(ErrorCode::kCorrupted, path + ": " + change.error().message);
    changes.push_back(*std::move(change));
  }
  std::sort(changes.begin(), changes.end(), [](const auto& a, const auto& b) { return a.serial < b.serial; });
  return changes;
}

Result<PeerKey> make_next_key(const std::string& folder, SecureRandom& random) {
  fault_point("key.next.begin");
  // A file that a crash left half written was told to nobody.
  if (const auto there = load(next_path(folder)); !there && there.error().code == ErrorCode::kInvalidData)
    COVEY_TRY_VOID(remove_file(next_path(folder)));
  if (!file_exists(next_path(folder))) {
    const CurveKey fresh = CurveKey::generate(random);
    COVEY_TRY_VOID(save_secret(next_path(folder), kCurveKind, fresh.secret()));
  }
  fault_point("key.next.made");
  COVEY_TRY(const CurveKey next, load(next_path(folder)));
  return next.public_key();
}

Result<void> keep_key_change(const std::string& folder, const KeyChange& change) {
  for (const auto& [path, key] : {std::pair(current_path(folder), change.before.key), std::pair(next_path(folder), change.after.key)}) {
    COVEY_TRY(const bool there, holds(path, key));
    if (!there) return lacks(folder, key, change);
  }
  COVEY_TRY_VOID(make_folders(changes_folder(folder), 0700));
  COVEY_TRY_VOID(sync_folder(folder));
  fault_point("key.change.begin");
  COVEY_TRY_VOID(write_file(changes_folder(folder) + "/" + hex_number(change.serial) + ".change", encode(change)));
  fault_point("key.change.kept");
  return {};
}

Result<void> retire_key(const std::string& folder, const KeyChange& change) {
  COVEY_TRY(const bool done, holds(current_path(folder), change.after.key));
  if (!done) {
    COVEY_TRY(const bool ready, holds(next_path(folder), change.after.key));
    if (!ready) return lacks(folder, change.after.key, change);
    fault_point("key.retire.begin");
    if (file_exists(current_path(folder)))
      COVEY_TRY_VOID(move_file(current_path(folder), old_path(folder), folder));
    fault_point("key.old.aside");
    COVEY_TRY_VOID(move_file(next_path(folder), current_path(folder), folder));
    fault_point("key.next.in_place");
  }
  COVEY_TRY_VOID(name_in_address(folder, change));
  fault_point("key.address.written");
  COVEY_TRY_VOID(erase_secret(old_path(folder), folder));
  fault_point("key.retire.end");
  return {};
}

Result<void> settle_keys(const std::string& folder, const std::vector<KeyChange>& changes, std::uint64_t retired) {
  if (changes.empty()) return {};
  const KeyChange& newest = changes.back();
  const bool begun = file_exists(old_path(folder));
  return begun || retired >= newest.serial ? retire_key(folder, newest) : Result<void>();
}

Result<KeyRotated> rotate_key(const std::string& folder, const RotateKey& work, SecureRandom& random) {
  KeyRotated rotated;
  switch (work.step) {
    case KeyStep::kMake: {
      COVEY_TRY(rotated.key, make_next_key(folder, random));
      break;
    }
    case KeyStep::kKeep: COVEY_TRY_VOID(keep_key_change(folder, work.change)); break;
    case KeyStep::kRetire: COVEY_TRY_VOID(retire_key(folder, work.change)); break;
  }
  return rotated;
}

}  // namespace covey
