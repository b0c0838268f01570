// Records that cannot be changed, dropped or reordered unseen: each names the hash of the one before
// and is signed with the coordinator's record key. A coordinator keeps two such chains: `audit/`
// (every administrative act, roster, round and release; audit.h) and `ledger/` (what was released to
// whom, written before each release; ledger.h).
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/crypto/signing_key.h"

namespace covey {

inline constexpr std::string_view kAuditChain = "covey audit v1";
inline constexpr std::string_view kLedgerChain = "covey release ledger v1";
inline constexpr std::size_t kChainBodyBytesMax = 8 * 1024;

struct ChainHead {          // of the newest record; an empty chain has sequence 0 and a hash of zeros
  std::uint64_t sequence = 0;
  Digest hash;
  bool operator==(const ChainHead&) const = default;
};

struct ChainRecord {
  std::uint64_t sequence = 0;  // from 1, without gaps
  Digest previous;             // hash of the record before; zeros for the first
  Bytes body;                  // at most kChainBodyBytesMax
  Signature signature;         // of the hash, under the chain's name as domain
  bool operator==(const ChainRecord&) const = default;
};

// SHA-256 over the chain's name (length-prefixed), sequence, previous, and the body (length-prefixed).
Digest hash_of(std::string_view chain, const ChainRecord& record);

Bytes encode(const ChainRecord& record);
Result<ChainRecord> decode_chain_record(ByteSpan bytes);  // errors: kCorrupted

// Follows one chain from its first record, or from a head that is known to be good.
class ChainReader {
 public:
  explicit ChainReader(std::string_view chain, ChainHead from = {}) : chain_(chain), head_(from) {}

  // The record must be the next one. With a key its signature is verified as well.
  // Errors: kCorrupted naming the sequence and what is wrong.
  Result<void> follow(const ChainRecord& record, const std::optional<VerifyKey>& key = std::nullopt);
  const ChainHead& head() const { return head_; }

 private:
  std::string_view chain_;  // one of the constants above
  ChainHead head_;
};

// Makes the next record of a chain.
ChainRecord next_record(std::string_view chain, const ChainHead& head, Bytes body, const SigningKey& key);

}  // namespace covey
