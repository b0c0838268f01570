#include "coordinator/record_book.h"

#include "coordinator/journal.h"
#include "core/protocol/limits.h"

namespace covey {

RecordBook::RecordBook(Outbox& out, std::shared_ptr<const SigningKey> key) : out_(out), key_(std::move(key)) {
  COVEY_CHECK(key_ != nullptr);
}

// ---- rows

Result<Bytes> RecordBook::load(Chain& chain, std::uint64_t sequence, ByteSpan row) {
  COVEY_TRY(ChainRecord record, decode_chain_record(row));
  if (record.sequence != sequence)
    return unexpected(ErrorCode::kCorrupted, "it holds record " + std::to_string(record.sequence) + " of the " +
                                                 std::string(chain.name) + "; restore the coordinator from a backup");
  if (const auto followed = chain.reader.follow(record); !followed)
    return unexpected(ErrorCode::kCorrupted, followed.error().message + "; restore the coordinator from a backup");
  chain.signature = record.signature;
  return std::move(record.body);
}

Result<void> RecordBook::load_audit(std::uint64_t sequence, ByteSpan row) {
  COVEY_TRY(const Bytes body, load(audit_, sequence, row));
  COVEY_TRY_VOID(decode_audit_entry(body));
  return {};
}

Result<void> RecordBook::load_ledger(std::uint64_t sequence, ByteSpan row) {
  COVEY_TRY(const Bytes body, load(ledger_, sequence, row));
  COVEY_TRY(ReleaseRecord record, decode_release_record(body));
  releases_[record.round.job] = Release{sequence, std::move(record)};
  return {};
}

Result<void> RecordBook::load_epoch(ByteSpan row) {
  COVEY_TRY(epoch_, epoch_of_value(row));
  if (epoch_ < kEpochMax) return {};
  return unexpected(ErrorCode::kCorrupted, "the epoch cannot rise above " + std::to_string(kEpochMax));
}

Result<void> RecordBook::check_key(const Chain& chain) const {
  if (chain.head().sequence == 0 || verify(key_->public_key(), chain.name, chain.head().hash.span(), chain.signature)) return {};
  return unexpected(ErrorCode::kCorrupted,
                    std::string(chain.name) + ": record " + std::to_string(chain.head().sequence) +
                        " is not signed with this coordinator's record key; restore record.key and the data from one backup");
}

Result<void> RecordBook::check_loaded() const {
  COVEY_TRY_VOID(check_key(audit_));
  COVEY_TRY_VOID(check_key(ledger_));
  if (audit_.head().sequence != 0 && epoch_ == 0)
    return unexpected(ErrorCode::kCorrupted, "row " + std::string(kEpochRow) + ": missing, but the coordinator has started before");
  return {};
}

// ---- writing

void RecordBook::append(Chain& chain, const std::string& key, Bytes body, Batch& batch) {
  const ChainRecord record = next_record(chain.name, chain.head(), std::move(body), *key_);
  COVEY_CHECK(chain.reader.follow(record).has_value());
  batch.put(key, encode(record));
}

void RecordBook::start(Instant now) {
  COVEY_CHECK(start_ == 0);
  ++epoch_;
  AuditEntry act;
  act.kind = AuditKind::kStarted;
  act.time = now;
  act.number = epoch_;
  Batch batch;
  batch.put(std::string(kEpochRow), epoch_value(epoch_));
  start_ = persist(std::move(batch), {std::move(act)});
}

Ticket RecordBook::persist(Batch batch, std::vector<AuditEntry> acts) {
  for (AuditEntry& act : acts) {
    act.text = shortened(std::move(act.text), kErrorTextBytesMax);
    append(audit_, audit_key(audit_.head().sequence + 1), encode(act), batch);
  }
  return out_.persist(std::move(batch));
}

Ticket RecordBook::persist_release(Batch batch, const ReleaseRecord& release, AuditEntry act) {
  const std::uint64_t sequence = next_release();
  append(ledger_, ledger_key(sequence), encode(release), batch);
  releases_[release.round.job] = Release{sequence, release};
  return persist(std::move(batch), {std::move(act)});
}

const RecordBook::Release* RecordBook::latest_release(JobId job) const {
  const auto at = releases_.find(job);
  return at == releases_.end() ? nullptr : &at->second;
}

}  // namespace covey
