// Where `covey backup` asks the running coordinator: a socket in the coordinator's folder, for the
// user whom the coordinator runs as (and root), on the same machine. Nothing of it is on the network.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "coordinator/service/backup.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace covey {

struct BackupAsk {
  std::string destination;  // absolute; empty: the coordinator's own folder of backups
  CopyMode mode = CopyMode::kLinkOrCopy;
};
struct BackupAnswer {
  std::string folder;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t ledger = 0;  // sequence of the release ledger's newest record in it
  std::uint64_t pruned = 0;  // older backups of its own that went
};

struct BackupDeskConfig {
  std::string folder;       // the coordinator's
  std::string own;          // its own backups
  std::size_t keep = 7;     // of them
  PeerKey coordinator;
};

// Takes a backup as `config` says. Exists also for a coordinator that is not running.
using TakeBackup = std::function<Result<BackupManifest>(const BackupPlan& plan)>;
Result<BackupAnswer> answer_backup(const BackupAsk& ask, const BackupDeskConfig& config, const TakeBackup& take);

// One thread, one backup at a time.
class BackupDesk {
 public:
  // `store` and `log` outlive this. Errors: kPermissionDenied, kDiskFull.
  static Result<std::unique_ptr<BackupDesk>> open(const BackupDeskConfig& config, MarkedStore& store, Log& log);
  ~BackupDesk();  // an unfinished backup is given up
  BackupDesk(const BackupDesk&) = delete;
  BackupDesk& operator=(const BackupDesk&) = delete;

 private:
  BackupDesk(BackupDeskConfig config, MarkedStore& store, Log& log, FileDescriptor listening,
             FileDescriptor wake);
  void serve();
  void answer(int connection);

  BackupDeskConfig config_;
  MarkedStore& store_;
  Log& log_;
  FileDescriptor listening_;
  FileDescriptor wake_;  // an eventfd
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// The answer of the coordinator that runs on `folder`; nothing when none does.
// Errors: those of take_backup(); kUnavailable when it does not answer.
Result<std::optional<BackupAnswer>> ask_backup(const std::string& folder, const BackupAsk& ask);

}  // namespace covey
