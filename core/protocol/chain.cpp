#include "core/protocol/chain.h"

#include <string>

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;

Unexpected corrupted(std::string_view chain, std::uint64_t sequence, const std::string& what) {
  return unexpected(ErrorCode::kCorrupted,
                    std::string(chain) + ": record " + std::to_string(sequence) + " " + what);
}

}  // namespace

Digest hash_of(std::string_view chain, const ChainRecord& record) {
  ByteWriter out;
  out.text(chain).u64(record.sequence).fixed(record.previous).blob(record.body);
  return sha256(out.bytes());
}

Bytes encode(const ChainRecord& record) {
  COVEY_CHECK(record.body.size() <= kChainBodyBytesMax);
  ByteWriter out;
  out.u8(kVersion).u64(record.sequence).fixed(record.previous).blob(record.body).fixed(record.signature);
  return out.take();
}

Result<ChainRecord> decode_chain_record(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kVersion) in.refuse();
  ChainRecord record;
  record.sequence = in.u64();
  if (record.sequence == 0) in.refuse();
  record.previous = in.fixed<Digest>();
  const ByteSpan body = in.blob();
  if (body.size() > kChainBodyBytesMax) in.refuse();
  record.body.assign(body.begin(), body.end());
  record.signature = in.fixed<Signature>();
  COVEY_TRY_VOID(in.finish("chain record"));
  return record;
}

Result<void> ChainReader::follow(const ChainRecord& record, const std::optional<VerifyKey>& key) {
  if (record.sequence != head_.sequence + 1)
    return corrupted(chain_, record.sequence, "follows " + std::to_string(head_.sequence) + "; records are missing");
  if (record.previous != head_.hash)
    return corrupted(chain_, record.sequence, "does not name the one before; the chain was changed");
  const Digest hash = hash_of(chain_, record);
  if (key && !verify(*key, chain_, hash.span(), record.signature))
    return corrupted(chain_, record.sequence, "has a wrong signature");
  head_ = {record.sequence, hash};
  return {};
}

ChainRecord next_record(std::string_view chain, const ChainHead& head, Bytes body, const SigningKey& key) {
  ChainRecord record{head.sequence + 1, head.hash, std::move(body), {}};
  record.signature = key.sign(chain, hash_of(chain, record).span());
  return record;
}

}  // namespace covey
