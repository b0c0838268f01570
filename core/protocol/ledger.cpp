#include "core/protocol/ledger.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kChargeBytesMax = 4096;

}  // namespace

Bytes encode(const ReleaseRecord& record) {
  COVEY_CHECK(record.charge.size() <= kChargeBytesMax);
  ByteWriter out;
  out.u8(kVersion).instant(record.time);
  out.u64(record.round.job).u32(record.round.round).u32(record.round.attempt);
  out.u32(record.contributors).fixed(record.contributions).blob(record.charge);
  return out.take();
}

Result<ReleaseRecord> decode_release_record(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kVersion) in.refuse();
  ReleaseRecord record;
  record.time = in.instant();
  record.round = RoundKey{in.u64(), in.u32(), in.u32()};
  record.contributors = in.u32();
  record.contributions = in.fixed<Digest>();
  const ByteSpan charge = in.blob();
  if (charge.size() > kChargeBytesMax) in.refuse();
  record.charge.assign(charge.begin(), charge.end());
  COVEY_TRY_VOID(in.finish("release record"));
  return record;
}

Digest contributions_digest(const std::vector<NamedContribution>& contributions) {
  std::vector<NamedContribution> sorted = contributions;
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.peer < b.peer; });
  ByteWriter out;
  out.text("covey contributions v1").u64(sorted.size());
  for (const NamedContribution& part : sorted)
    out.fixed(part.peer).fixed(part.contribution.update.id).u64(part.contribution.update.size).u64(part.contribution.weight);
  return sha256(out.bytes());
}

}  // namespace covey
