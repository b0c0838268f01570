#include "coordinator/service/ledger_mark.h"

#include <charconv>

#include "coordinator/tables.h"
#include "core/crypto/digest.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

constexpr std::string_view kHead = "covey-ledger-mark-v1\n";

Unexpected torn(const std::string& what) {
  return unexpected(ErrorCode::kCorrupted, "the ledger mark does not verify (" + what + ")");
}

// "NAME REST\n" off the front of `text`; REST.
Result<std::string_view> take_line(std::string_view& text, std::string_view name) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(name) || text.substr(name.size(), 1) != " ")
    return torn("no line \"" + std::string(name) + "\"");
  const std::string_view rest = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return rest;
}

Result<std::uint64_t> number_from(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return torn("a number");
  return value;
}

std::string without_sum(const LedgerMark& mark) {
  return std::string(kHead) + "ledger " + std::to_string(mark.ledger.sequence) + " " + hex(mark.ledger.hash.span()) +
         "\nepoch " + std::to_string(mark.epoch) + "\nstore " + std::to_string(mark.sequence) + "\n";
}

Result<ChainRecord> ledger_record(const std::string& key, ByteSpan value) {
  auto record = decode_chain_record(value);
  if (!record) return unexpected(in_context("row " + key, record.error()));
  if (ledger_key(record->sequence) != key)
    return unexpected(ErrorCode::kCorrupted,
                      "row " + key + ": holds the ledger's record " + std::to_string(record->sequence));
  return record;
}

bool promises(const std::string& key) {
  return key.starts_with("model/") || key.starts_with(kAuditTable) || key == kEpochRow;
}

std::string remedy(const std::string& path) {
  return ": records that were promised to last are gone, or an older copy was put here. Restore the newest backup "
         "(`covey restore`); to go on with the older state all the same, see docs/operations.md on rollback. The mark "
         "is " +
         path;
}

}  // namespace

std::string text_of(const LedgerMark& mark) {
  const std::string text = without_sum(mark);
  return text + "sum " + hex(sha256(bytes_of(text)).span()) + "\n";
}

Result<LedgerMark> mark_from_text(std::string_view text) {
  if (!text.starts_with(kHead)) return torn("its first line");
  std::string_view rest = text.substr(kHead.size());
  LedgerMark mark;
  COVEY_TRY(const std::string_view ledger, take_line(rest, "ledger"));
  const std::size_t blank = ledger.find(' ');
  if (blank == std::string_view::npos) return torn("the ledger's hash");
  COVEY_TRY(mark.ledger.sequence, number_from(ledger.substr(0, blank)));
  const auto hash = fixed_from_hex<Digest>(ledger.substr(blank + 1));
  if (!hash) return torn("the ledger's hash");
  mark.ledger.hash = *hash;
  COVEY_TRY(const std::string_view epoch, take_line(rest, "epoch"));
  COVEY_TRY(mark.epoch, number_from(epoch));
  COVEY_TRY(const std::string_view store, take_line(rest, "store"));
  COVEY_TRY(mark.sequence, number_from(store));
  if (text != text_of(mark)) return torn("its sum");
  return mark;
}

Result<std::optional<SavedMark>> load_mark(const std::string& path) {
  const auto bytes = read_file(path, 2 * kSlotBytes);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::optional<SavedMark>();
  if (!bytes) return unexpected(bytes.error());
  SlotText saved{std::string(text_of(*bytes)), true};
  if (!saved.text.starts_with(kHead)) {
    COVEY_TRY(saved, read_slots(path));
  }
  const auto mark = mark_from_text(saved.text);
  if (!mark) return unexpected(in_context(path, mark.error()));
  return std::optional<SavedMark>({*mark, saved.whole});
}

Result<void> save_mark(const std::string& path, const LedgerMark& mark) {
  COVEY_TRY_VOID(SlotFile::create(path, text_of(mark)));
  return {};
}

Result<MarkedRows> mark_of_rows(const std::vector<Row>& rows, std::uint64_t store_sequence,
                                std::uint64_t sequence_wanted) {
  MarkedRows found;
  found.now.sequence = store_sequence;
  ChainReader ledger(kLedgerChain);
  for (const Row& row : rows) {
    if (row.key == kEpochRow) {
      COVEY_TRY(found.now.epoch, epoch_of_value(row.value));
    }
    if (!row.key.starts_with(kLedgerTable)) continue;
    COVEY_TRY(const ChainRecord record, ledger_record(row.key, row.value));
    COVEY_TRY_VOID(ledger.follow(record));
    if (record.sequence == sequence_wanted) found.ledger_hash_at_wanted = ledger.head().hash;
  }
  found.now.ledger = ledger.head();
  return found;
}

Result<LedgerMark> judge_rows(const std::vector<Row>& rows, std::uint64_t store_sequence, const std::string& path,
                              MissingMark missing) {
  COVEY_TRY(const auto saved, load_mark(path));
  const LedgerMark mark = saved ? saved->mark : LedgerMark();
  COVEY_TRY(const MarkedRows found, mark_of_rows(rows, store_sequence, mark.ledger.sequence));
  const LedgerMark& now = found.now;
  if (!saved) {
    if (now.ledger.sequence == 0 || missing == MissingMark::kAccept) return now;
    return unexpected(ErrorCode::kCorrupted,
                      path + " is missing, but the release ledger has " + std::to_string(now.ledger.sequence) +
                          " records: put the mark back, or name it with --ledger-mark; where it is lost for good, "
                          "compare `covey audit --since` with a saved log, then start once with --accept-missing-mark");
  }
  const auto behind = [&](const char* what, std::uint64_t here, std::uint64_t marked) {
    return unexpected(ErrorCode::kCorrupted, std::string("the store is behind its mark: ") + what + " " +
                                                 std::to_string(here) + ", the mark says " + std::to_string(marked) +
                                                 remedy(path));
  };
  if (now.ledger.sequence < mark.ledger.sequence)
    return behind("its release ledger ends with record", now.ledger.sequence, mark.ledger.sequence);
  if (mark.ledger.sequence != 0 && found.ledger_hash_at_wanted != mark.ledger.hash)
    return unexpected(ErrorCode::kCorrupted, "the release ledger's record " + std::to_string(mark.ledger.sequence) +
                                                 " is another than the mark's" + remedy(path));
  if (now.epoch < mark.epoch) return behind("its epoch is", now.epoch, mark.epoch);
  if (now.sequence < mark.sequence) return behind("its last write is number", now.sequence, mark.sequence);
  if (!saved->whole && now.sequence == mark.sequence)
    return unexpected(ErrorCode::kCorrupted, path + ": one of its two slots does not verify, and the store is no newer "
                                                    "than the other: a write that was torn would have left it newer. "
                                                    "Compare `covey audit --since` with a saved log, then move the mark "
                                                    "away and start once with --accept-missing-mark");
  return now;
}

Result<std::unique_ptr<MarkedStore>> MarkedStore::open(std::unique_ptr<DurableStore> store, const std::string& path,
                                                       const LedgerMark& now) {
  COVEY_TRY(SlotFile file, SlotFile::create(path, text_of(now)));
  return std::unique_ptr<MarkedStore>(new MarkedStore(std::move(store), std::move(file), now));
}

Result<void> MarkedStore::write(const Batch& batch) {
  const std::lock_guard lock(mutex_);
  LedgerMark next = mark_;
  ChainReader ledger(kLedgerChain, mark_.ledger);
  bool promised = false;
  for (const Put& put : batch.puts) {
    promised = promised || promises(put.key);
    if (put.key == kEpochRow) {
      COVEY_TRY(next.epoch, epoch_of_value(put.value));
    }
    if (!put.key.starts_with(kLedgerTable)) continue;
    auto record = ledger_record(put.key, put.value);
    const auto followed = record ? ledger.follow(*record) : Result<void>(unexpected(record.error()));
    if (!followed) return unexpected(ErrorCode::kInternal, "the release ledger only grows: " + followed.error().message);
    promised = true;
  }
  for (const Delete& gone : batch.deletes)
    if (gone.key.starts_with(kLedgerTable))
      return unexpected(ErrorCode::kInternal, "the release ledger only grows: row " + gone.key + " cannot be erased");
  COVEY_TRY_VOID(store_->write(batch));
  if (!promised) return {};
  next.ledger = ledger.head();
  next.sequence = store_->sequence();
  COVEY_TRY_VOID(file_.write(text_of(next)));
  mark_ = next;
  return {};
}

Result<void> MarkedStore::while_still(
    const std::function<Result<void>(DurableStore&, const LedgerMark&)>& work) {
  const std::lock_guard lock(mutex_);
  LedgerMark now = mark_;
  now.sequence = store_->sequence();
  return work(*store_, now);
}

}  // namespace covey
