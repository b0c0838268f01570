// Takes backups of a coordinator's durable state: a folder with the store (db/), the values that its
// rows name (blobs/) and a manifest (backup_manifest.h). No keys are in it.
#pragma once
#include <atomic>
#include <optional>
#include <string>

#include "coordinator/service/backup_manifest.h"
#include "core/base/clock.h"

namespace covey {

struct BackupPlan {
  std::string data;         // the coordinator's data folder: db/ and blobs/
  std::string destination;  // a new or empty folder, outside `data`
  CopyMode mode = CopyMode::kLinkOrCopy;
  PeerKey coordinator;
  Instant now;
};

// Of a store in use. Batches wait while the store's files and the values that its rows name get second
// names on their own disk, which takes well below a second; a value is erased only after a batch that
// stopped naming it, so what the rows name is all there. Copying and hashing come afterwards.
// The backup appears under its name when it is whole. `stop` may become true at any time.
// Errors: kAlreadyExists, kInvalidArgument, kDiskFull, kCorrupted, kUnavailable when stopped.
Result<BackupManifest> take_backup(const BackupPlan& plan, MarkedStore& store, const std::atomic<bool>& stop);

// Of a coordinator that is not running. Errors: kUnavailable where it does run; as above.
Result<BackupManifest> take_backup_at_rest(const BackupPlan& plan);

// Removes what an interrupted backup left in `data`.
Result<void> sweep_backup(const std::string& data);

// "backup-20261122T074500Z": the next of the coordinator's own in `folder`; "...Z-02" where that is there already.
std::string own_backup_path(const std::string& folder, Instant now);
// Removes the oldest of the coordinator's own in `folder` until `keep` are left; gives how many went.
Result<std::size_t> prune_backups(const std::string& folder, std::size_t keep);

}  // namespace covey
