// The side file against a silently shortened log: how far the store had come when something was last
// promised. A log that lost its end, a table that went missing, an old copy put back: each opens as a
// sound, shorter store, and only a second file can tell. Best on another disk (--ledger-mark).
//
// As text: "covey-ledger-mark-v1", "ledger SEQUENCE HASH", "epoch N", "store N", "sum SHA-256 of the
// lines before", each line ended by a newline; twice, in the two slots of a SlotFile. Older files hold the
// text alone, once; they are read too.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/protocol/chain.h"
#include "core/service/slot_file.h"
#include "core/store/store.h"

namespace covey {

struct LedgerMark {
  ChainHead ledger;             // newest record of the release ledger
  std::uint64_t epoch = 0;      // of the coordinator's newest start
  std::uint64_t sequence = 0;   // DurableStore::sequence()
  bool operator==(const LedgerMark&) const = default;
};

std::string text_of(const LedgerMark& mark);
Result<LedgerMark> mark_from_text(std::string_view text);  // errors: kCorrupted

struct SavedMark {
  LedgerMark mark;
  bool whole = true;  // false: one slot does not verify; what it held is at most one promise newer
};
// Nothing when there is no such file. Errors: kCorrupted naming it.
Result<std::optional<SavedMark>> load_mark(const std::string& path);
// A new file in its place, durable. Errors: kDiskFull, kPermissionDenied.
Result<void> save_mark(const std::string& path, const LedgerMark& mark);

// What a store holds, and the hash of the ledger's record `sequence_wanted` (zeros where it has none).
struct MarkedRows {
  LedgerMark now;
  Digest ledger_hash_at_wanted;
};
// Follows the ledger in the rows by its hashes. Errors: kCorrupted.
Result<MarkedRows> mark_of_rows(const std::vector<Row>& rows, std::uint64_t store_sequence,
                                std::uint64_t sequence_wanted);

enum class MissingMark { kRefuse, kAccept };
// Whether the rows are at least as new as the mark in `path`: gives what they hold. Errors: kCorrupted
// with the remedy where the ledger is shorter or another, or epoch or sequence lie behind; where the
// mark is missing although the ledger is not empty, unless that is accepted; where one slot of the mark
// is damaged and the store is not newer than the other: then it was no torn write, which comes after a
// newer batch is durable.
Result<LedgerMark> judge_rows(const std::vector<Row>& rows, std::uint64_t store_sequence,
                              const std::string& path, MissingMark missing);

// A store that brings the mark up with each batch that promises something (ledger/, model/, audit/,
// epoch), after the batch is durable and before write() returns. A crash between leaves the mark
// behind, which is sound. The ledger's rows can only be added to, each the next of its chain: any
// other batch is refused with kInternal, whole.
class MarkedStore final : public Store {
 public:
  // `now`: what judge_rows() gave. Errors: those of save_mark().
  static Result<std::unique_ptr<MarkedStore>> open(std::unique_ptr<DurableStore> store, const std::string& path,
                                                   const LedgerMark& now);

  Result<void> write(const Batch& batch) override;
  Result<std::optional<Bytes>> get(std::string_view key) override { return store_->get(key); }
  Result<std::vector<Row>> scan(std::string_view prefix) override { return store_->scan(prefix); }

  // Calls `work` while no batch can be written; with the mark of what is durable.
  Result<void> while_still(const std::function<Result<void>(DurableStore&, const LedgerMark&)>& work);

 private:
  MarkedStore(std::unique_ptr<DurableStore> store, SlotFile file, const LedgerMark& now)
      : store_(std::move(store)), file_(std::move(file)), mark_(now) {}

  std::unique_ptr<DurableStore> store_;
  std::mutex mutex_;  // of the mark, and over every write
  SlotFile file_;
  LedgerMark mark_;
};

}  // namespace covey
