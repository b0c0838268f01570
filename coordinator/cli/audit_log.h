// A coordinator's two chains as `covey audit` gets them, keeps them in a file and verifies them. Pure.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"

namespace covey::cli {

struct AuditLog {  // as served or read: nothing is verified yet
  std::vector<ChainRecord> audit;
  std::vector<ChainRecord> ledger;
  bool operator==(const AuditLog&) const = default;
};

// A file of them: a line that says what it is, then u64 n, n records, u64 n, n records, each record
// with its length (core/base/wire.h).
Bytes encode(const AuditLog& log);
Result<AuditLog> decode_audit_log(ByteSpan bytes);  // errors: kInvalidData

struct VerifiedLog {
  std::vector<AuditEntry> audit;        // the record of sequence n is at n - 1
  std::vector<ReleaseRecord> ledger;
  std::vector<Digest> audit_hashes;     // of the records
  std::vector<Digest> ledger_hashes;
  std::set<std::uint64_t> released;     // ledger sequences that were made use of
};

// Every link and signature of both chains; that each freeze and each release has its ledger record,
// and each ledger record its freeze; that no attempt has two, none is released twice, and epochs
// rise. The ledger is read after the audit chain and may end with records that are newer.
// Errors: kCorrupted naming the record.
Result<VerifiedLog> verify_log(const AuditLog& log, const VerifyKey& record_key);

// That `now` holds all of `earlier`, unchanged. Errors: kCorrupted: rolled back, or rewritten.
Result<void> check_continues(const VerifiedLog& earlier, const VerifiedLog& now);

}  // namespace covey::cli
