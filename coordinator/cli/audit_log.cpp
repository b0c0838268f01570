#include "coordinator/cli/audit_log.h"

#include <map>

#include "core/base/wire.h"

namespace covey::cli {
namespace {

constexpr std::string_view kMagic = "covey audit log v1\n";

void put(ByteWriter& out, const std::vector<ChainRecord>& chain) {
  out.u64(chain.size());
  for (const ChainRecord& record : chain) out.blob(encode(record));
}

Result<std::vector<ChainRecord>> get(ByteReader& in) {
  std::vector<ChainRecord> chain;
  const std::uint64_t count = in.u64();
  while (chain.size() < count && !in.failed()) {
    COVEY_TRY(ChainRecord record, decode_chain_record(in.blob()));
    chain.push_back(std::move(record));
  }
  return chain;
}

Result<AuditLog> read_log(ByteReader& in) {
  AuditLog log;
  COVEY_TRY(log.audit, get(in));
  COVEY_TRY(log.ledger, get(in));
  COVEY_TRY_VOID(in.finish("audit log"));
  return log;
}

Unexpected corrupted(std::string_view chain, std::uint64_t sequence, const std::string& what) {
  return unexpected(ErrorCode::kCorrupted,
                    std::string(chain) + ": record " + std::to_string(sequence) + " " + what);
}

template <class Body>
struct Followed {
  std::vector<Body> bodies;
  std::vector<Digest> hashes;
};

template <class Body, class Decode>
Result<Followed<Body>> follow(std::string_view chain, const std::vector<ChainRecord>& records,
                              const VerifyKey& key, Decode decode) {
  Followed<Body> followed;
  ChainReader reader(chain);
  for (const ChainRecord& record : records) {
    COVEY_TRY_VOID(reader.follow(record, key));
    auto body = decode(record.body);
    if (!body) return corrupted(chain, record.sequence, "does not read: " + body.error().message);
    followed.bodies.push_back(std::move(*body));
    followed.hashes.push_back(reader.head().hash);
  }
  return followed;
}

// What the acts say of each other and of the ledger.
class Story {
 public:
  explicit Story(VerifiedLog& log) : log_(log) {}

  Result<void> check() {
    for (std::size_t i = 0; i < log_.ledger.size(); ++i)
      if (!allowed_.emplace(log_.ledger[i].round, i).second)
        return corrupted(kLedgerChain, i + 1, "is a second one for " + to_text(log_.ledger[i].round));
    for (std::size_t i = 0; i < log_.audit.size(); ++i) COVEY_TRY_VOID(check(i + 1, log_.audit[i]));
    std::uint64_t newest = 0;  // ledger record that the audit chain speaks of
    for (const std::size_t at : frozen_) newest = std::max<std::uint64_t>(newest, at + 1);
    for (std::uint64_t sequence = 1; sequence <= newest; ++sequence)
      if (!frozen_.contains(sequence - 1))
        return corrupted(kLedgerChain, sequence, "allows a release that the audit chain never froze");
    return {};
  }

 private:
  Result<void> check(std::uint64_t sequence, const AuditEntry& entry) {
    if (entry.kind == AuditKind::kStarted) {
      if (entry.number <= epoch_)
        return corrupted(kAuditChain, sequence,
                         "starts epoch " + std::to_string(entry.number) + " after " + std::to_string(epoch_));
      epoch_ = entry.number;
    }
    if (entry.kind == AuditKind::kRoundFrozen) return frozen(sequence, entry);
    if (entry.kind == AuditKind::kReleased) return released(sequence, entry);
    if (entry.kind == AuditKind::kConsumed && entry.number != 0) return consumed(sequence, entry);
    return {};
  }

  Result<void> frozen(std::uint64_t sequence, const AuditEntry& entry) {
    const auto at = allowed_.find(entry.round);
    if (at == allowed_.end())
      return corrupted(kAuditChain, sequence, "freezes " + to_text(entry.round) + " without a ledger record");
    const ReleaseRecord& record = log_.ledger[at->second];
    if (record.contributions != entry.subject || record.contributors != entry.number)
      return corrupted(
          kAuditChain, sequence,
          "freezes other updates than ledger record " + std::to_string(at->second + 1) + " allows");
    if (!frozen_.insert(at->second).second)
      return corrupted(kAuditChain, sequence, "freezes " + to_text(entry.round) + " again");
    return {};
  }

  Result<void> released(std::uint64_t sequence, const AuditEntry& entry) {
    const std::string ledger = "ledger record " + std::to_string(entry.number);
    if (entry.number == 0 || entry.number > log_.ledger.size())
      return corrupted(kAuditChain, sequence, "releases by " + ledger + ", which is missing");
    if (log_.ledger[entry.number - 1].round != entry.round)
      return corrupted(kAuditChain, sequence, "releases by " + ledger + ", which is of another round");
    if (!frozen_.contains(entry.number - 1))
      return corrupted(kAuditChain, sequence, "releases " + to_text(entry.round) + ", which was not frozen");
    if (consumed_.contains(entry.number)) return corrupted(kAuditChain, sequence, "releases by " + ledger + ", which was consumed");
    if (!log_.released.insert(entry.number).second)
      return corrupted(kAuditChain, sequence, "releases by " + ledger + " a second time");
    return {};
  }

  // What it allowed will never be released.
  Result<void> consumed(std::uint64_t sequence, const AuditEntry& entry) {
    const std::string ledger = "ledger record " + std::to_string(entry.number);
    if (!frozen_.contains(entry.number - 1) || log_.ledger[entry.number - 1].round != entry.round)
      return corrupted(kAuditChain, sequence, "consumes " + ledger + ", which " + to_text(entry.round) + " was not frozen by");
    if (!consumed_.insert(entry.number).second || log_.released.contains(entry.number))
      return corrupted(kAuditChain, sequence, "consumes " + ledger + ", which was consumed or released before");
    return {};
  }

  VerifiedLog& log_;
  std::set<std::uint64_t> consumed_;
  std::map<RoundKey, std::size_t> allowed_;
  std::set<std::size_t> frozen_;
  std::uint64_t epoch_ = 0;
};

Result<void> check_prefix(std::string_view chain, const std::vector<Digest>& earlier,
                          const std::vector<Digest>& now) {
  if (earlier.empty()) return {};
  if (now.size() < earlier.size())
    return unexpected(ErrorCode::kCorrupted, std::string(chain) + " was rolled back: it ends with record " +
                                                 std::to_string(now.size()) + ", the earlier file with " +
                                                 std::to_string(earlier.size()));
  if (now[earlier.size() - 1] == earlier.back()) return {};
  std::size_t at = 0;
  while (now[at] == earlier[at]) ++at;
  return unexpected(ErrorCode::kCorrupted, std::string(chain) + " was rewritten: record " +
                                               std::to_string(at + 1) +
                                               " is another one than in the earlier file");
}

}  // namespace

Bytes encode(const AuditLog& log) {
  ByteWriter out;
  out.raw(bytes_of(kMagic));
  put(out, log.audit);
  put(out, log.ledger);
  return out.take();
}

Result<AuditLog> decode_audit_log(ByteSpan bytes) {
  if (!text_of(bytes).starts_with(kMagic))
    return unexpected(ErrorCode::kInvalidData, "this is no audit log; `covey audit --save FILE` writes one");
  ByteReader in(bytes.subspan(kMagic.size()));
  auto log = read_log(in);
  if (!log) return unexpected(ErrorCode::kInvalidData, "the file is damaged: " + log.error().message);
  return log;
}

Result<VerifiedLog> verify_log(const AuditLog& log, const VerifyKey& record_key) {
  COVEY_TRY(auto audit, follow<AuditEntry>(kAuditChain, log.audit, record_key, decode_audit_entry));
  COVEY_TRY(auto ledger, follow<ReleaseRecord>(kLedgerChain, log.ledger, record_key, decode_release_record));
  VerifiedLog verified{std::move(audit.bodies),
                       std::move(ledger.bodies),
                       std::move(audit.hashes),
                       std::move(ledger.hashes),
                       {}};
  COVEY_TRY_VOID(Story(verified).check());
  return verified;
}

Result<void> check_continues(const VerifiedLog& earlier, const VerifiedLog& now) {
  COVEY_TRY_VOID(check_prefix(kAuditChain, earlier.audit_hashes, now.audit_hashes));
  return check_prefix(kLedgerChain, earlier.ledger_hashes, now.ledger_hashes);
}

}  // namespace covey::cli
