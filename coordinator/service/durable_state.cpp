#include "coordinator/service/durable_state.h"

#include <chrono>
#include <thread>

#include "coordinator/service/backup.h"
#include "coordinator/tables.h"
#include "core/base/file.h"
#include "core/service/orphans.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"
#include "core/store/partial_values.h"

namespace covey {
namespace {

Error with_remedy(Error error, Recovery recovery) {
  if (error.code != ErrorCode::kCorrupted) return error;
  error.message += recovery == Recovery::kStrict
                       ? "; restore the newest backup (`covey restore`), or start with --recover point-in-time, which "
                         "keeps what lies before the damage and is refused where a promised record is gone"
                       : "; restore the newest backup (`covey restore`)";
  return error;
}

// Before anything on the disk is changed.
Result<void> judge_recovery(const StateOptions& options, const std::string& path, Log& log) {
  log.warning("recover_point_in_time",
              {{"path", path}, {"text", "keeping only what lies before the first damage in the write-ahead log; "
                                        "records that were acknowledged after it are lost"}});
  if (!file_exists(path + "/CURRENT")) return {};
  const auto contents = read_rocks_store(path, Recovery::kPointInTime);
  if (!contents) return unexpected(with_remedy(contents.error(), options.recovery));
  COVEY_TRY_VOID(judge_rows(contents->rows, contents->sequence, options.mark, options.missing_mark));
  return {};
}

// `covey backup` of a coordinator that does not run holds the store until it is copied. A start waits for it, not its
// operator; a backup that hangs is not waited for.
void await_backup(const std::string& store, Log& log) {
  constexpr auto kStep = std::chrono::milliseconds(100), kMost = std::chrono::milliseconds(30'000);
  for (auto waited = kStep * 0; waited < kMost && file_exists(store); waited += kStep) {
    if (FolderLock::take(store) || FolderLock::holder(store) != "covey") return;
    if (waited == waited.zero()) log.info("waiting_for_backup", {{"path", store}, {"seconds_max", kMost.count() / 1000}});
    std::this_thread::sleep_for(kStep);
  }
}

Result<void> check_blobs(const std::set<Digest>& named, BlobStore& blobs, const std::string& path) {
  for (const Digest& id : named)
    if (!blobs.has(id))
      return unexpected(ErrorCode::kCorrupted, path + ": a row names blob " + short_hex(id) +
                                                   ", but it is not here; restore the newest backup (`covey restore`)");
  return {};
}

}  // namespace

Result<std::set<Digest>> blobs_needed(const std::vector<Row>& rows) {
  std::set<std::string, std::less<>> started;  // jobs with a model; a pending one's configuration is made with it
  for (const Row& row : rows)
    if (row.key.starts_with("model/")) started.emplace(key_parts(row.key)[1]);
  std::vector<Row> needing;
  for (const Row& row : rows)
    if (row.key.starts_with("model/") || row.key.starts_with("update/") ||
        (row.key.starts_with("job/") && started.contains(key_parts(row.key)[1])))
      needing.push_back(row);
  return blobs_in_rows(needing);
}

std::string default_mark_path(const std::string& folder) { return folder + "/ledger.mark"; }

Result<DurableState> open_state(const StateOptions& options, Log& log) {
  const std::string data = options.folder + "/data";
  // A start that is refused leaves nothing behind where nothing was: an empty data/ would be in a restore's way.
  COVEY_TRY(const bool kept, is_there(data + "/db/CURRENT"));  // an error where nobody may look: that is not an empty store
  if (!kept) COVEY_TRY_VOID(judge_rows({}, 0, options.mark, options.missing_mark));
  COVEY_TRY_VOID(make_folders(options.folder));
  if (!file_exists(options.mark)) COVEY_TRY_VOID(check_output(options.mark));
  COVEY_TRY_VOID(make_folders(data));
  await_backup(data + "/db", log);
  if (options.recovery == Recovery::kPointInTime) COVEY_TRY_VOID(judge_recovery(options, data + "/db", log));
  auto opened = open_rocks_store(data + "/db", options.recovery);
  if (!opened) return unexpected(with_remedy(opened.error(), options.recovery));
  auto rows = (*opened)->scan("");
  if (!rows) return unexpected(with_remedy(rows.error(), options.recovery));
  DurableState state{nullptr, nullptr, std::move(*rows), {}};
  COVEY_TRY(const LedgerMark now, judge_rows(state.rows, (*opened)->sequence(), options.mark, options.missing_mark));
  COVEY_TRY(state.blobs, open_blob_files(data + "/blobs"));
  COVEY_TRY(const std::set<Digest> named, blobs_in_rows(state.rows));
  COVEY_TRY(const std::set<Digest> needed, blobs_needed(state.rows));
  COVEY_TRY_VOID(check_blobs(needed, *state.blobs, data + "/blobs"));
  COVEY_TRY(state.store, MarkedStore::open(std::move(*opened), options.mark, now));
  COVEY_TRY_VOID(sweep_backup(data));
  COVEY_TRY(const std::size_t orphans, erase_orphans(*state.blobs, named));
  COVEY_TRY(state.partials, partial_values(data + "/blobs"));
  if (orphans != 0) log.info("orphans_erased", {{"blobs", orphans}});
  return state;
}

}  // namespace covey
