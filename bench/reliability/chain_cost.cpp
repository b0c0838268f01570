#include <chrono>

#include "bench/reliability/rows.h"
#include "core/crypto/digest.h"
#include "core/protocol/audit.h"

namespace covey::bench {
namespace {

constexpr int kRecords = 5000;

double microseconds_each(const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRecords; ++i) act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kRecords * 1e6;
}

}  // namespace

// The floor: the signature that every record needs, alone.
std::vector<Figure> chain_cost() {
  const SigningKey key = SigningKey::from_seed(Secret<32>());
  const AuditEntry entry;
  ChainHead head;
  const double record = microseconds_each([&] {
    const ChainRecord made = next_record(kAuditChain, head, encode(entry), key);
    head = {made.sequence, hash_of(kAuditChain, made)};
  });
  const Digest digest = head.hash;
  const double signature = microseconds_each([&] { head.hash.bytes[0] ^= key.sign(kAuditChain, digest.span()).bytes[0]; });
  return {at_most("audit record: cost over its signature", record / signature, "times", 1.5,
                  "signature alone " + std::to_string(signature) + " us")};
}

}  // namespace covey::bench
