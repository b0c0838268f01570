#include "aggregation/round_sum.h"

#include <doctest/doctest.h>

#include <limits>
#include <algorithm>

#include "aggregation/aggregator.h"
#include "core/base/random.h"
#include "core/crypto/digest.h"
#include "core/base/worker_pool.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

constexpr std::size_t kSize = 200'000;  // several chunks, the last one short

std::vector<float> update_of(std::uint64_t n) {
  Random random(n);
  std::vector<float> values(kSize);
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  return values;
}

// As a transfer leaves it: every chunk written, not finished.
BlobRef unfinished(BlobStore& blobs, const std::vector<float>& values) {
  const Bytes bytes = bytes_of_floats(values);
  std::vector<Digest> hashes;
  for (std::size_t at = 0; at < bytes.size(); at += kChunkBytes)
    hashes.push_back(chunk_digest(ByteSpan(bytes).subspan(at, std::min(kChunkBytes, bytes.size() - at))));
  const BlobRef blob{blob_id(bytes.size(), hashes), bytes.size()};
  REQUIRE(blobs.begin_partial(blob, hashes));
  for (std::size_t i = 0; i < hashes.size(); ++i)
    REQUIRE(blobs.write_chunk(blob.id, i, ByteSpan(bytes).subspan(i * kChunkBytes, std::min(kChunkBytes, bytes.size() - i * kChunkBytes))));
  return blob;
}

CheckUpdate check_of(const BlobRef& blob, UpdateSpec limits = {}) { return {blob, kSize, limits, SumInto{}, 0}; }

std::vector<std::int64_t> bits_of(const RoundSum& sum) {
  const auto range = sum.range(0, kSize);
  return {range.begin(), range.end()};
}

}  // namespace

TEST_CASE("round sum: updates added at once from several threads are the same bits as one after the other") {
  MemoryBlobs blobs;
  std::vector<BlobRef> updates;
  for (std::uint64_t n = 0; n < 6; ++n) updates.push_back(unfinished(blobs, update_of(n)));
  RoundSum serial(kSize, sum_scale({})), together(kSize, sum_scale({}));
  for (std::size_t n = 0; n < updates.size(); ++n)
    CHECK(serial.add(check_of(updates[n]), static_cast<std::int64_t>(n + 1), blobs));
  WorkerPool pool(4);
  for (std::size_t n = 0; n < updates.size(); ++n)
    pool.submit([&, n] { (void)together.add(check_of(updates[n]), static_cast<std::int64_t>(n + 1), blobs); });
  pool.wait_idle();
  CHECK(bits_of(serial) == bits_of(together));
  CHECK(together.weight() == 21);
  std::vector<Contribution> parts;
  for (std::size_t n = updates.size(); n-- > 0;) parts.push_back({updates[n], n + 1});
  CHECK(together.holds(parts));
  parts.back().weight = 2;
  CHECK_FALSE(together.holds(parts));
}

TEST_CASE("round sum: an update that turns out bad in its last chunk leaves no trace") {
  MemoryBlobs blobs;
  const BlobRef good = unfinished(blobs, update_of(1));
  auto values = update_of(2);
  values[kSize - 1] = std::numeric_limits<float>::quiet_NaN();
  const BlobRef bad = unfinished(blobs, values);
  RoundSum sum(kSize, sum_scale({}));
  REQUIRE(sum.add(check_of(good), 7, blobs));
  const auto before = bits_of(sum);
  const auto refused = sum.add(check_of(bad), 9, blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
  CHECK(refused.error().message.find("element 199999 is NaN") != std::string::npos);
  CHECK(bits_of(sum) == before);
  CHECK(sum.holds({{good, 7}}));
  CHECK(sum.weight() == 7);
}

TEST_CASE("round sum: a norm beyond the bound is known at the end only, and taken out again") {
  MemoryBlobs blobs;
  const UpdateSpec limits{.clip_norm = 1, .value_max = 64};
  const BlobRef large = unfinished(blobs, update_of(3));
  RoundSum sum(kSize, sum_scale(limits));
  const auto refused = sum.add(check_of(large, limits), 1, blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("update.clip_norm allows") != std::string::npos);
  CHECK(bits_of(sum) == std::vector<std::int64_t>(kSize));
  CHECK(sum.holds({}));
}

}  // namespace covey
