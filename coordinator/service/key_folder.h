// The coordinator's CURVE keys and their changes, in its folder. Every step is durable when it returns,
// may be repeated, and may be cut off anywhere: what lies there always says how to go on.
//   curve.key              the key that is served; while a change lasts, the key before it
//   curve.next.key         made for a change: the key after it
//   curve.old.key          the key before a change that is over, about to be erased
//   key-changes/*.change   every KeyChange, named by its serial
// Keys have mode 0600. An overwritten file may leave traces on disks that move what they write.
#pragma once
#include <string>
#include <vector>

#include "core/base/secure_random.h"
#include "core/crypto/curve_key.h"
#include "core/protocol/machine.h"

namespace covey {

// The key in curve.key; curve.next.key where a crash came between the two renames of retire_key().
// Errors: kNotFound, those of load_secret.
Result<CurveKey> load_current_key(const std::string& folder);
// Whichever of the files holds this key. Errors: kNotFound, naming it.
Result<CurveKey> load_key(const std::string& folder, const PeerKey& key);
// Ascending by serial; each verified against `address`. Errors: kCorrupted, naming the file.
Result<std::vector<KeyChange>> load_key_changes(const std::string& folder, const CoordinatorAddress& address);

// The key that shall follow, which is made unless it is there. Errors: those of save_secret.
Result<PeerKey> make_next_key(const std::string& folder, SecureRandom& random);
// Errors: kCorrupted unless the folder holds both of its keys.
Result<void> keep_key_change(const std::string& folder, const KeyChange& change);
// Ends `change`, the newest: the key after it becomes curve.key, address.bin names it, and the key
// before is overwritten and removed. Errors: kCorrupted where the folder does not hold the key after it.
Result<void> retire_key(const std::string& folder, const KeyChange& change);
// What a start does before it reads the keys: retires the newest change's key where that was begun, or where its
// end is durable. Never because a clock says so, which may be wrong: the machine counts (coordinator/key_keeper.h).
// `changes`: as load_key_changes gives them; `retired`: retired_key_change of the rows.
Result<void> settle_keys(const std::string& folder, const std::vector<KeyChange>& changes, std::uint64_t retired);

// The executor's RotateKey.
Result<KeyRotated> rotate_key(const std::string& folder, const RotateKey& work, SecureRandom& random);

}  // namespace covey
