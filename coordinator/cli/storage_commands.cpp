// covey backup, restore.
#include <chrono>
#include <filesystem>
#include <thread>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/format.h"
#include "coordinator/cli/withdrawing.h"
#include "coordinator/service/backup_desk.h"
#include "coordinator/service/durable_state.h"
#include "coordinator/service/home.h"
#include "coordinator/service/restore.h"
#include "core/service/exit_code.h"

namespace covey::cli {
namespace {

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

Result<int> verify_command(const std::string& folder, Console& console) {
  COVEY_TRY(const BackupManifest manifest, verify_backup(folder));
  console.object(JsonObject()
                     .add("event", "verified")
                     .add("folder", folder)
                     .add("taken", iso8601(manifest.taken))
                     .add("coordinator", hex(manifest.coordinator.span()))
                     .add("files", manifest.files.size())
                     .add("bytes", manifest.bytes())
                     .add("ledger", manifest.mark.ledger.sequence)
                     .add("epoch", manifest.mark.epoch));
  console.line(folder + " verifies: " + std::to_string(manifest.files.size()) + " files, " +
               bytes_text(manifest.bytes()) + ", taken " + iso8601(manifest.taken) + ", release ledger at record " +
               std::to_string(manifest.mark.ledger.sequence) + ".");
  return kExitOk;
}

struct MadeBackup {
  BackupAnswer answer;
  bool running = false;  // the coordinator made it
};

// A coordinator that starts, or ends, has the store and takes no questions: for so long it is asked again.
Result<MadeBackup> made_backup(const std::string& folder, const BackupAsk& ask, const BackupDeskConfig& config) {
  constexpr auto kStep = std::chrono::milliseconds(100), kMost = std::chrono::milliseconds(10'000);
  for (auto waited = kStep * 0;; waited += kStep) {
    COVEY_TRY(auto answer, ask_backup(folder, ask));
    if (answer) return MadeBackup{*std::move(answer), true};
    auto at_rest = answer_backup(ask, config, take_backup_at_rest);
    if (at_rest) return MadeBackup{*std::move(at_rest), false};
    if (at_rest.error().code != ErrorCode::kUnavailable || waited >= kMost) return unexpected(at_rest.error());
    std::this_thread::sleep_for(kStep);
  }
}

}  // namespace

Result<int> backup_command(const BackupOptions& options, Console& console) {
  if (!options.verify.empty()) return verify_command(options.verify, console);
  const std::string folder = coordinator_folder(options.home);
  COVEY_TRY(const CoordinatorHome home, load_coordinator_home(folder));
  const BackupAsk ask{absolute(options.destination), options.copy ? CopyMode::kCopy : CopyMode::kLinkOrCopy};
  const BackupDeskConfig config{folder, folder + "/backups", BackupDeskConfig{}.keep, home.curve.public_key()};
  COVEY_TRY(const auto made, made_backup(folder, ask, config));
  const auto& [answer, running] = made;
  console.object(JsonObject()
                     .add("event", "backup")
                     .add("folder", answer.folder)
                     .add("files", answer.files)
                     .add("bytes", answer.bytes)
                     .add("ledger", answer.ledger)
                     .add("pruned", answer.pruned)
                     .add("running", running));
  console.line("Saved " + bytes_text(answer.bytes) + " in " + std::to_string(answer.files) + " files to " +
               answer.folder + (running ? "" : " (the coordinator does not run)") +
               ". No key is in it: keep copies apart of authority/, of operator/, and of " + folder + " without data/ and backups/.");
  if (answer.pruned != 0) console.line(std::to_string(answer.pruned) + " older backups of the coordinator's own are gone.");
  return kExitOk;
}

Result<int> restore_command(const RestoreOptions& options, Console& console) {
  const std::string folder = coordinator_folder(options.home);
  COVEY_TRY(const CoordinatorHome home, load_coordinator_home(folder));
  const std::string mark = options.mark.empty() ? default_mark_path(folder) : options.mark;
  COVEY_TRY(const RestoreReport report,
            restore_backup({options.backup, folder, mark, home.curve.public_key(),
                            options.accept_rollback ? Rollback::kAccept : Rollback::kRefuse, SystemClock().now(), known_keys(home)},
                           *home.record));
  console.object(JsonObject()
                     .add("event", "restored")
                     .add("backup", options.backup)
                     .add("taken", iso8601(report.backup.taken))
                     .add("files", report.backup.files.size())
                     .add("bytes", report.backup.bytes())
                     .add("ledger", report.backup.mark.ledger.sequence)
                     .add("ledger_marked", report.ledger_marked)
                     .add("rolled_back", report.rolled_back)
                     .add("epoch", report.epoch)
                     .add("withdrawals", report.withdrawals.number));
  console.line("Restored the state of " + iso8601(report.backup.taken) + " into " + folder + "/data; what came later is lost.");
  console.line("Imported models are in no backup: `covey models` lists those that are here; bring the others again with `covey import`.");
  if (report.rolled_back)
    console.line("The release ledger goes back to record " + std::to_string(report.backup.mark.ledger.sequence) +
                 "; the audit log says so for ever.");
  // The restore is done, whatever lies in the authority's folder.
  const auto kept = kept_withdrawals(options.home, home.address.authority);
  console.warn(forgotten_text(report.withdrawals, kept ? *kept : Withdrawals{}));
  if (!kept) console.warn(kept.error().message);
  console.line("Start it with covey-coordinator --home " + options.home + "; its clients come back by themselves, those who joined after " +
               iso8601(report.backup.taken) + " with a new token (`covey token`) and a new --home.");
  return kExitOk;
}

}  // namespace covey::cli
