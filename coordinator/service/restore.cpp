#include "coordinator/service/restore.h"

#include <algorithm>
#include <filesystem>

#include "coordinator/job_floor.h"
#include "coordinator/tables.h"
#include "core/base/file.h"
#include "core/protocol/audit.h"
#include "core/protocol/limits.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

// Above every start that a lost state may have had.
constexpr std::uint64_t kEpochLeap = 1 << 20;

struct Judged {
  bool rolled_back = false;
  LedgerMark mark;     // zeros where it is missing
  std::string why;     // of the rollback
};

Result<Judged> judge(const RestoreRequest& request, const std::vector<Row>& rows, const LedgerMark& saved) {
  COVEY_TRY(const auto found_mark, load_mark(request.mark));
  if (!found_mark)
    return Judged{true, {}, request.mark + " is missing, so nothing can tell whether more was released after this backup"};
  const LedgerMark& mark = found_mark->mark;
  if (mark == LedgerMark() && saved != LedgerMark())
    return Judged{true, mark, request.mark + " was made by a start that wrote nothing after it, so nothing can tell whether more "
                                             "was released after this backup"};
  COVEY_TRY(const MarkedRows found, mark_of_rows(rows, saved.sequence, mark.ledger.sequence));
  const std::uint64_t marked = mark.ledger.sequence;
  if (marked > saved.ledger.sequence)
    return Judged{true, mark, "the mark says that the release ledger had " + std::to_string(marked) +
                                   " records, the backup has " + std::to_string(saved.ledger.sequence)};
  if (marked != 0 && found.ledger_hash_at_wanted != mark.ledger.hash)
    return Judged{true, mark, "the backup's ledger record " + std::to_string(marked) + " is another than the mark's"};
  if (!found_mark->whole)
    return Judged{true, mark, "one of the two slots of " + request.mark +
                                  " does not verify, so nothing can tell whether one more was released after this backup"};
  return Judged{false, mark, ""};
}

// Whether `data` holds what a start makes before its first write, and no more.
bool looks_unused(const std::string& data) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data, error)) {
    const std::string name = entry.path().filename().string();
    if (name != "db" && name != "blobs") return false;
  }
  for (const auto& entry : fs::recursive_directory_iterator(data + "/blobs", error))
    if (!entry.is_directory() && entry.path().filename() != "covey.lock") return false;
  return !error || error == std::errc::no_such_file_or_directory;
}

// Nothing where data/ is not there. Where a coordinator made it that never wrote anything (its port was taken, say),
// its store, open, so that none can begin to use it meanwhile.
Result<std::unique_ptr<DurableStore>> claim_place(const RestoreRequest& request) {
  std::error_code error;
  const std::string data = request.folder + "/data";
  const auto taken = [&](const std::string& why) {
    return unexpected(ErrorCode::kAlreadyExists,
                      data + " is there already" + why + " and nothing is overwritten; stop the coordinator and move it away first");
  };
  if (!fs::exists(data, error)) return std::unique_ptr<DurableStore>();
  if (!fs::is_directory(data, error) || !looks_unused(data)) return taken("");
  if (!fs::exists(data + "/db", error)) return std::unique_ptr<DurableStore>();
  auto store = open_rocks_store(data + "/db");
  if (!store) return taken(" (" + store.error().message + ")");
  const auto rows = (*store)->scan("");
  if (!rows || !rows->empty()) return taken("");
  return store;
}

// The claimed data/ leaves its place while its store is open still: nothing can begin to use it in between.
Result<void> clear_place(const RestoreRequest& request, std::unique_ptr<DurableStore> claimed) {
  std::error_code error;
  const std::string data = request.folder + "/data", unused = request.folder + "/data.unused";
  if (!fs::exists(data, error)) return {};
  COVEY_TRY_VOID(remove_folder(unused));
  COVEY_TRY_VOID(rename_file(data, unused));
  claimed.reset();
  return remove_folder(unused);
}

Result<void> copy_verified(const BackupManifest& manifest, const std::string& from, const std::string& to) {
  for (const BackupFile& file : manifest.files) {
    COVEY_TRY_VOID(make_folders(fs::path(to + "/" + file.path).parent_path().string()));
    COVEY_TRY(const CopiedFile copied, copy_file(from + "/" + file.path, to + "/" + file.path, CopyMode::kCopy));
    if (copied.hash != file.content.hash || copied.size != file.content.size)
      return unexpected(ErrorCode::kCorrupted, from + "/" + file.path + " changed while it was copied");
  }
  return sync_folders_below(to);
}

// The newest record of the audit chain in the rows; they are followed by hash.
Result<ChainHead> audit_head(const std::vector<Row>& rows) {
  ChainReader audit(kAuditChain);
  for (const Row& row : rows) {
    if (!row.key.starts_with(kAuditTable)) continue;
    const auto record = decode_chain_record(row.value);
    if (!record) return unexpected(in_context("row " + row.key, record.error()));
    COVEY_TRY_VOID(audit.follow(*record));
  }
  return audit.head();
}

// What the restored state says of itself: a new epoch, a gap in the numbers of jobs, and an audit record of the act.
Result<LedgerMark> write_act(const std::string& data, const AuditEntry& act, Instant taken, std::uint64_t epoch, const SigningKey& key) {
  COVEY_TRY(const auto store, open_rocks_store(data + "/db"));
  COVEY_TRY(const auto rows, store->scan(""));
  COVEY_TRY(const ChainHead head, audit_head(rows));
  Batch batch;
  batch.put(std::string(kEpochRow), epoch_value(epoch));
  COVEY_TRY(const JobId floor, job_floor_after(rows, taken, act.time));
  batch.put(std::string(kJobFloorRow), job_floor_value(floor));
  batch.put(audit_key(head.sequence + 1), encode(next_record(kAuditChain, head, encode(act), key)));
  COVEY_TRY_VOID(store->write(batch));
  COVEY_TRY(const auto written, store->scan(""));
  COVEY_TRY(const MarkedRows found, mark_of_rows(written, store->sequence(), 0));
  return found.now;
}

Result<Withdrawals> withdrawals_in(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    if (row.key == kWithdrawalsRow) return withdrawals_of_value(row.value);
  return Withdrawals{};
}

// Room for every start to come stays below the bound of an epoch.
Result<std::uint64_t> epoch_above(const LedgerMark& saved, const LedgerMark& marked, Instant now) {
  const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, unix_nanos(now) / 1'000'000'000));
  const std::uint64_t epoch = std::max({saved.epoch, marked.epoch, seconds}) + kEpochLeap;
  if (epoch <= kEpochMax / 2) return epoch;
  return unexpected(ErrorCode::kCorrupted, "the epoch " + std::to_string(epoch - kEpochLeap) + " is out of range: is this machine's clock right?");
}

}  // namespace

Result<RestoreReport> restore_backup(const RestoreRequest& request, const SigningKey& record) {
  if (!file_exists(request.backup + "/" + kManifestName))  // said first: data/ need not move for a mistyped path
    return unexpected(ErrorCode::kNotFound, request.backup + " is no backup (it has no file " + kManifestName +
                                                "); name a folder that `covey backup` made");
  auto lock = FolderLock::take(request.folder);
  if (!lock) return unexpected(in_context("another restore runs", lock.error()));
  COVEY_TRY(auto claimed, claim_place(request));
  RestoreReport report;
  COVEY_TRY(report.backup, verify_backup(request.backup));
  const LedgerMark& saved = report.backup.mark;
  const bool had = std::find(request.earlier.begin(), request.earlier.end(), report.backup.coordinator) != request.earlier.end();
  if (report.backup.coordinator != request.coordinator && !had)
    return unexpected(ErrorCode::kPermissionDenied,
                      request.backup + " is of another coordinator (" + short_hex(report.backup.coordinator) + ") than " +
                          request.folder + " (" + short_hex(request.coordinator) + "); put its own keys there first");
  COVEY_TRY(const StoreContents contents, read_rocks_store(request.backup + "/db", Recovery::kStrict));
  COVEY_TRY(const Judged judged, judge(request, contents.rows, saved));
  report.rolled_back = judged.rolled_back;
  report.ledger_marked = judged.mark.ledger.sequence;
  if (judged.rolled_back && request.rollback == Rollback::kRefuse)
    return unexpected(ErrorCode::kPermissionDenied,
                      judged.why + ": restore a newer backup, or accept the loss of what was released since with "
                                   "--accept-rollback, which the audit log will say for ever");

  COVEY_TRY(report.withdrawals, withdrawals_in(contents.rows));
  COVEY_TRY(report.epoch, epoch_above(saved, judged.mark, request.now));
  const std::string restoring = request.folder + "/data.restoring";
  COVEY_TRY_VOID(remove_folder(restoring));
  COVEY_TRY_VOID(copy_verified(report.backup, request.backup, restoring));
  AuditEntry act;
  act.kind = AuditKind::kRestored;
  act.time = request.now;
  act.number = saved.epoch;
  act.text = "backup of " + iso8601(report.backup.taken) + (judged.rolled_back ? "; rollback accepted: " + judged.why : "");
  act.text.resize(std::min<std::size_t>(act.text.size(), 256));
  COVEY_TRY(const LedgerMark now, write_act(restoring, act, report.backup.taken, report.epoch, record));
  COVEY_TRY_VOID(sync_folders_below(restoring));
  COVEY_TRY_VOID(save_mark(request.mark, now));
  COVEY_TRY_VOID(clear_place(request, std::move(claimed)));
  COVEY_TRY_VOID(rename_file(restoring, request.folder + "/data"));
  COVEY_TRY_VOID(sync_folder(request.folder));
  return report;
}

}  // namespace covey
