// What the coordinator can be held to: the audit chain (every administrative act, roster, round and
// release), the release ledger, and the epoch that tells one start from another. Both chains are kept
// for ever; only their heads are in memory.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "coordinator/outbox.h"
#include "coordinator/tables.h"
#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"

namespace covey {

class RecordBook {
 public:
  // `out` outlives this; `key` signs every record. The key is shared: a configuration serves several starts.
  RecordBook(Outbox& out, std::shared_ptr<const SigningKey> key);

  // ---- from rows, in key order. Errors: kCorrupted.
  Result<void> load_audit(std::uint64_t sequence, ByteSpan row);
  Result<void> load_ledger(std::uint64_t sequence, ByteSpan row);
  Result<void> load_epoch(ByteSpan row);
  Result<void> check_loaded() const;  // that the newest records are signed with our key

  // At Started, before anything else: the epoch rises, and the audit chain says so.
  void start(Instant now);
  std::uint64_t epoch() const { return epoch_; }
  bool started() const { return out_.durable(start_); }  // the epoch may be told to others

  // ---- The batch and the record of each act become durable as one. A sequence is given here, where
  // the batch is issued, so that no batch that is dropped or overtaken tears the chain. Texts are
  // cut to what a record holds.
  Ticket persist(Batch batch, std::vector<AuditEntry> acts);
  // The same, and the allowance to release what is made of `release.contributions`. Nothing may be
  // computed of them before the write is durable. Its sequence is next_release().
  Ticket persist_release(Batch batch, const ReleaseRecord& release, AuditEntry act);
  std::uint64_t next_release() const { return ledger_.head().sequence + 1; }

  // A job's newest allowance.
  struct Release {
    std::uint64_t sequence = 0;
    ReleaseRecord record;
  };
  const Release* latest_release(JobId job) const;

  const ChainHead& audit_head() const { return audit_.head(); }
  const ChainHead& ledger_head() const { return ledger_.head(); }

 private:
  struct Chain {
    std::string_view name;
    ChainReader reader;
    Signature signature;       // of the newest record
    explicit Chain(std::string_view chain) : name(chain), reader(chain) {}
    const ChainHead& head() const { return reader.head(); }
  };
  Result<Bytes> load(Chain& chain, std::uint64_t sequence, ByteSpan row);
  void append(Chain& chain, const std::string& key, Bytes body, Batch& batch);
  Result<void> check_key(const Chain& chain) const;

  Outbox& out_;
  std::shared_ptr<const SigningKey> key_;
  Chain audit_{kAuditChain};
  Chain ledger_{kLedgerChain};
  std::map<JobId, Release> releases_;
  std::uint64_t epoch_ = 0;
  Ticket start_ = 0;
};

}  // namespace covey
