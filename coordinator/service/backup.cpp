#include "coordinator/service/backup.h"

#include <algorithm>
#include <filesystem>

#include "coordinator/service/durable_state.h"
#include "core/base/file.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStaging = "/backup.tmp";
constexpr std::string_view kOwnName = "backup-";

Result<void> check_destination(const BackupPlan& plan) {
  std::error_code error;
  const fs::path wanted = fs::weakly_canonical(plan.destination, error);
  if (error) return unexpected(system_error_of(error.value(), plan.destination));
  const fs::path data = fs::weakly_canonical(plan.data, error);
  const auto [end, rest] = std::mismatch(data.begin(), data.end(), wanted.begin(), wanted.end());
  if (end == data.end())
    return unexpected(ErrorCode::kInvalidArgument, plan.destination + " lies within " + plan.data + ", which is to be saved; name a folder elsewhere");
  if (!fs::exists(wanted, error)) return {};
  if (fs::is_directory(wanted, error) && fs::is_empty(wanted, error)) return {};
  return unexpected(ErrorCode::kAlreadyExists, plan.destination + " is there already; name a new folder");
}

// Second names on the data's own disk of all that the backup is to hold.
Result<void> stage(const BackupPlan& plan, const std::string& staging, DurableStore& store) {
  COVEY_TRY_VOID(store.checkpoint(staging + "/db"));
  COVEY_TRY(const auto rows, store.scan(""));
  COVEY_TRY(const std::set<Digest> blobs, blobs_needed(rows));
  return copy_blobs(plan.data + "/blobs", staging + "/blobs", blobs);
}

// A value that a backup is to hold is not what its name says.
Error damaged(const BackupPlan& plan, const std::string& path, const Error& error) {
  return {ErrorCode::kCorrupted, plan.data + "/" + path + " is damaged (" + error.message +
                                     "): nothing was saved, and older backups stay; restore the newest backup that `covey backup "
                                     "--verify` finds sound"};
}

Result<void> carry(const BackupPlan& plan, const std::string& staging, const std::atomic<bool>& stop,
                   BackupManifest& manifest) {
  const std::string whole = plan.destination + ".partial";
  COVEY_TRY_VOID(remove_folder(whole));
  COVEY_TRY(const std::vector<std::string> files, files_below(staging));
  for (const std::string& path : files) {
    if (stop) return unexpected(ErrorCode::kUnavailable, "the coordinator is stopping; ask again when it runs");
    COVEY_TRY_VOID(make_folders(fs::path(whole + "/" + path).parent_path().string()));
    COVEY_TRY(const CopiedFile content, copy_file(staging + "/" + path, whole + "/" + path, plan.mode));
    manifest.files.push_back({path, content});
    if (auto sound = check_saved_value(staging + "/" + path); !sound && sound.error().code == ErrorCode::kCorrupted)
      return unexpected(damaged(plan, path, sound.error()));
    else if (!sound)
      return unexpected(sound.error());
  }
  COVEY_TRY_VOID(write_file(whole + "/" + kManifestName, bytes_of(text_of(manifest))));
  COVEY_TRY_VOID(sync_folders_below(whole));
  std::error_code error;
  fs::remove(plan.destination, error);  // an empty one
  COVEY_TRY_VOID(rename_file(whole, plan.destination));
  const std::string parent = fs::path(plan.destination).parent_path().string();
  return sync_folder(parent.empty() ? "." : parent);
}

Result<BackupManifest> take(BackupPlan plan, const std::atomic<bool>& stop,
                            const std::function<Result<LedgerMark>(const std::string& staging)>& stage_at) {
  while (plan.destination.size() > 1 && plan.destination.ends_with('/')) plan.destination.pop_back();
  COVEY_TRY_VOID(check_destination(plan));
  const std::string staging = plan.data + kStaging;
  COVEY_TRY_VOID(remove_folder(staging));
  COVEY_TRY_VOID(make_folders(staging));
  const auto taken = [&]() -> Result<BackupManifest> {
    BackupManifest manifest{plan.now, plan.coordinator, {}, {}};
    COVEY_TRY(manifest.mark, stage_at(staging));
    COVEY_TRY_VOID(carry(plan, staging, stop, manifest));
    return manifest;
  }();
  if (!taken) (void)remove_folder(plan.destination + ".partial");  // the first error is the one to tell
  COVEY_TRY_VOID(remove_folder(staging));
  return taken;
}

}  // namespace

Result<BackupManifest> take_backup(const BackupPlan& plan, MarkedStore& store, const std::atomic<bool>& stop) {
  return take(plan, stop, [&](const std::string& staging) -> Result<LedgerMark> {
    LedgerMark mark;
    COVEY_TRY_VOID(store.while_still([&](DurableStore& still, const LedgerMark& now) {
      mark = now;
      return stage(plan, staging, still);
    }));
    return mark;
  });
}

Result<BackupManifest> take_backup_at_rest(const BackupPlan& plan) {
  if (!file_exists(plan.data + "/db/CURRENT"))
    return unexpected(ErrorCode::kNotFound, plan.data + " holds no coordinator's state; name the folder with --home");
  COVEY_TRY(const auto store, open_rocks_store(plan.data + "/db"));
  COVEY_TRY(const auto blobs, open_blob_files(plan.data + "/blobs"));  // held, so that nobody else erases
  const std::atomic<bool> never = false;
  return take(plan, never, [&](const std::string& staging) -> Result<LedgerMark> {
    COVEY_TRY(const auto rows, store->scan(""));
    COVEY_TRY(const MarkedRows found, mark_of_rows(rows, store->sequence(), 0));
    COVEY_TRY_VOID(stage(plan, staging, *store));
    return found.now;
  });
}

Result<void> sweep_backup(const std::string& data) { return remove_folder(data + kStaging); }

std::string own_backup_path(const std::string& folder, Instant now) {
  std::string name = iso8601(now).substr(0, 19);
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  const std::string path = folder + "/" + std::string(kOwnName) + name + "Z";
  // Of one second: the names still sort by time, and of a hundred the rest are refused as being there already.
  for (int more = 1; more < 100; ++more) {
    const std::string another = path + "-" + std::to_string(more / 10) + std::to_string(more % 10);
    const std::string& chosen = more == 1 ? path : another;
    if (!file_exists(chosen)) return chosen;
  }
  return path;
}

Result<std::size_t> prune_backups(const std::string& folder, std::size_t keep) {
  std::vector<std::string> own;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(kOwnName) && file_exists(entry->path().string() + "/" + kManifestName)) own.push_back(entry->path().string());
  }
  if (error) return unexpected(system_error_of(error.value(), folder));
  std::sort(own.begin(), own.end());  // the names begin with the time
  const std::size_t gone = own.size() > keep ? own.size() - keep : 0;
  for (std::size_t i = 0; i < gone; ++i) COVEY_TRY_VOID(remove_folder(own[i]));
  return gone;
}

}  // namespace covey
