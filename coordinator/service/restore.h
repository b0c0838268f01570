// Puts a backup in the place of a coordinator's lost state.
#pragma once
#include <string>
#include <vector>

#include "coordinator/service/backup_manifest.h"
#include "core/protocol/withdrawals.h"
#include "core/crypto/signing_key.h"

namespace covey {

enum class Rollback { kRefuse, kAccept };

struct RestoreRequest {
  std::string backup;
  std::string folder;       // the coordinator's: its keys are there, its data/ is not, or was never written to
  std::string mark;         // its ledger mark
  PeerKey coordinator;      // its CURVE key
  Rollback rollback = Rollback::kRefuse;
  Instant now;
  std::vector<PeerKey> earlier = {};  // CURVE keys that it had before: backups may name them
};

struct RestoreReport {
  BackupManifest backup;
  std::uint64_t epoch = 0;          // of the restored store; the next start adds one
  bool rolled_back = false;         // the mark was ahead, or missing
  std::uint64_t ledger_marked = 0;  // what the mark said before
  Withdrawals withdrawals;          // the list of withdrawn credentials that is in force again; number 0: none
};

// Verifies the backup, copies it (never moves or links), verifies every hash on the way, raises the
// epoch far above any that was used, adds an audit record signed with `record`, rewrites the mark, and
// only then gives data/ its name: a crash before that leaves no state that starts.
// Errors: kAlreadyExists where data is; kUnavailable while another restore runs; kPermissionDenied where the backup is of another coordinator,
// or where the mark is ahead of it or missing and that is not accepted; kCorrupted; kDiskFull.
Result<RestoreReport> restore_backup(const RestoreRequest& request, const SigningKey& record);

}  // namespace covey
