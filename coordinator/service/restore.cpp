#include "coordinator/service/restore.h"

#include <algorithm>
#include <filesystem>

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

Result<void> check_place(const RestoreRequest& request) {
  std::error_code error;
  const std::string data = request.folder + "/data";
  if (fs::exists(data, error) && !(fs::is_directory(data, error) && fs::is_empty(data, error)))
    return unexpected(ErrorCode::kAlreadyExists,
                      data + " is there already and nothing is overwritten; stop the coordinator and move it away first");
  return {};
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

// What the restored state says of itself: a new epoch, and an audit record of the act.
Result<LedgerMark> write_act(const std::string& data, const AuditEntry& act, std::uint64_t epoch, const SigningKey& key) {
  COVEY_TRY(const auto store, open_rocks_store(data + "/db"));
  COVEY_TRY(const auto rows, store->scan(""));
  COVEY_TRY(const ChainHead head, audit_head(rows));
  Batch batch;
  batch.put(std::string(kEpochRow), epoch_value(epoch));
  batch.put(audit_key(head.sequence + 1), encode(next_record(kAuditChain, head, encode(act), key)));
  COVEY_TRY_VOID(store->write(batch));
  COVEY_TRY(const auto written, store->scan(""));
  COVEY_TRY(const MarkedRows found, mark_of_rows(written, store->sequence(), 0));
  return found.now;
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
  COVEY_TRY_VOID(check_place(request));
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
  COVEY_TRY(const LedgerMark now, write_act(restoring, act, report.epoch, record));
  COVEY_TRY_VOID(sync_folders_below(restoring));
  COVEY_TRY_VOID(save_mark(request.mark, now));
  std::error_code error;
  fs::remove(request.folder + "/data", error);  // an empty one
  COVEY_TRY_VOID(rename_file(restoring, request.folder + "/data"));
  COVEY_TRY_VOID(sync_folder(request.folder));
  return report;
}

}  // namespace covey
