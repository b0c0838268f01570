// The body of a ledger record: an allowance to release one aggregate, durable before anything is
// computed from the updates it names. The ledger only grows; an allowance that was never used stays.
#pragma once
#include <vector>

#include "core/protocol/chain.h"
#include "core/protocol/machine.h"
#include "core/protocol/message.h"

namespace covey {

struct ReleaseRecord {
  Instant time;
  RoundKey round;
  std::uint32_t contributors = 0;
  Digest contributions;        // contributions_digest
  Bytes charge;                // of the privacy budget, in the accountant's own form; empty: none is kept
  bool operator==(const ReleaseRecord&) const = default;
};

Bytes encode(const ReleaseRecord& record);
Result<ReleaseRecord> decode_release_record(ByteSpan bytes);  // errors: kCorrupted

// What a release is made of, and from whom: SHA-256 over the count, then each peer, update id, size
// and weight, in ascending order of the peers.
struct NamedContribution {
  PeerKey peer;
  Contribution contribution;
  bool operator==(const NamedContribution&) const = default;
};
Digest contributions_digest(const std::vector<NamedContribution>& contributions);

}  // namespace covey
