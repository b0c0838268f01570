#include "aggregation/round_sum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <latch>
#include <limits>
#include <thread>

#include "aggregation/aggregator.h"
#include "aggregation/check_update.h"
#include "core/base/random.h"
#include "core/crypto/digest.h"
#include "core/base/worker_pool.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

constexpr std::size_t kSize = 200'000;  // several chunks and ranges, the last ones short
constexpr std::uint64_t kRangeBytes = kRangeElements * sizeof(float);

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

// Reads from another store, and tells of each read before it is done: where that says no, it fails.
class WatchedBlobs final : public BlobStore {
 public:
  using BeforeRead = std::function<Result<void>(const Digest& id, std::uint64_t offset)>;
  WatchedBlobs(MemoryBlobs& blobs, BeforeRead before) : blobs_(blobs), before_(std::move(before)) {}

  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override {
    COVEY_TRY_VOID(before_(id, offset));
    return blobs_.read_written(id, offset, out);
  }
  Result<BlobRef> put(ByteSpan value) override { return blobs_.put(value); }
  bool has(const Digest& id) override { return blobs_.has(id); }
  Result<Bytes> get(const Digest& id) override { return blobs_.get(id); }
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override { return blobs_.read(id, offset, length); }
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override { return blobs_.chunk_hashes(id); }
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override {
    return blobs_.begin_partial(blob, hashes);
  }
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override { return blobs_.write_chunk(id, index, chunk); }
  Result<void> finish_partial(const Digest& id) override { return blobs_.finish_partial(id); }
  void drop_partial(const Digest& id) override { blobs_.drop_partial(id); }
  Result<void> erase(const Digest& id) override { return blobs_.erase(id); }
  Result<std::vector<Digest>> list() override { return blobs_.list(); }

 private:
  MemoryBlobs& blobs_;
  BeforeRead before_;
};

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

// The second one begins while the first is in its third chunk, and goes over the last chunks with it, on either's
// thread, and over the others afterwards.
TEST_CASE("round sum: an update that begins in the middle of another's is added whole, and read once") {
  MemoryBlobs memory;
  const BlobRef first = unfinished(memory, update_of(1)), second = unfinished(memory, update_of(2));
  RoundSum alone(kSize, sum_scale({}));
  REQUIRE(alone.add(check_of(first), 3, memory));
  const auto norm = alone.add(check_of(second), 5, memory);
  REQUIRE(norm);
  std::mutex mutex;
  std::map<Digest, std::vector<std::uint64_t>> reads;
  std::latch in_the_middle(1), joined(1);
  bool told = false;
  WatchedBlobs blobs(memory, [&](const Digest& id, std::uint64_t offset) -> Result<void> {
    {
      const std::lock_guard lock(mutex);
      reads[id].push_back(offset);
      if (id == second.id && !std::exchange(told, true)) joined.count_down();
    }
    if (id == first.id && offset == 2 * kRangeBytes) {
      in_the_middle.count_down();
      joined.wait();
    }
    return {};
  });
  RoundSum sum(kSize, sum_scale({}));
  std::optional<Result<UpdateChecked>> late;
  std::jthread other([&] {
    in_the_middle.wait();
    late = sum.add(check_of(second), 5, blobs);
  });
  REQUIRE(sum.add(check_of(first), 3, blobs));
  other.join();
  REQUIRE(late);
  REQUIRE(late->has_value());
  CHECK((*late)->norm == norm->norm);
  CHECK(bits_of(sum) == bits_of(alone));
  CHECK(sum.holds({{second, 5}, {first, 3}}));
  CHECK(reads[second.id].front() == 3 * kRangeBytes);
  std::vector<std::uint64_t> once;
  for (std::uint64_t at = 0; at < kSize * sizeof(float); at += kRangeBytes) once.push_back(at);
  for (auto& [id, offsets] : reads) {
    std::sort(offsets.begin(), offsets.end());
    CHECK(offsets == once);
  }
}

TEST_CASE("round sum: bad updates and unreadable ones among those that are added at once leave no trace") {
  MemoryBlobs memory;
  std::vector<BlobRef> updates;
  for (std::uint64_t n = 0; n < 12; ++n) {
    auto values = update_of(n);
    if (n % 3 == 1) values[n * 15'000] = std::numeric_limits<float>::infinity();
    updates.push_back(unfinished(memory, values));
  }
  WatchedBlobs blobs(memory, [&](const Digest& id, std::uint64_t offset) -> Result<void> {
    for (std::size_t n = 2; n < updates.size(); n += 3)
      if (updates[n].id == id && offset == n % 4 * kRangeBytes) return unexpected(ErrorCode::kInternal, "the disk is broken");
    return {};
  });
  RoundSum good(kSize, sum_scale({}));
  for (std::size_t n = 0; n < updates.size(); n += 3) REQUIRE(good.add(check_of(updates[n]), 1 + static_cast<std::int64_t>(n), memory));
  for (int turn = 0; turn < 20; ++turn) {
    RoundSum sum(kSize, sum_scale({}));
    std::vector<std::string> said(updates.size());
    WorkerPool pool(4);
    for (std::size_t n = 0; n < updates.size(); ++n)
      pool.submit([&, n] {
        const auto added = sum.add(check_of(updates[n]), 1 + static_cast<std::int64_t>(n), blobs);
        said[n] = added ? "added" : added.error().message;
      });
    pool.wait_idle();
    CHECK(bits_of(sum) == bits_of(good));
    CHECK(sum.weight() == good.weight());
    for (std::size_t n = 0; n < updates.size(); ++n) {
      if (n % 3 == 0) CHECK(said[n] == "added");
      if (n % 3 == 1) CHECK(said[n].find("element " + std::to_string(n * 15'000) + " is infinite") != std::string::npos);
      if (n % 3 == 2) CHECK(said[n] == "the disk is broken");
    }
  }
}

TEST_CASE("round sum: what cannot be taken out again spoils the sum") {
  MemoryBlobs memory;
  auto values = update_of(4);
  values[kSize - 1] = std::numeric_limits<float>::quiet_NaN();
  const BlobRef bad = unfinished(memory, values), good = unfinished(memory, update_of(5));
  std::map<std::uint64_t, int> reads;
  WatchedBlobs blobs(memory, [&](const Digest&, std::uint64_t offset) -> Result<void> {
    if (++reads[offset] == 2 && offset == kRangeBytes) return unexpected(ErrorCode::kInternal, "the disk is broken");
    return {};
  });
  RoundSum sum(kSize, sum_scale({}));
  CHECK_FALSE(sum.add(check_of(bad), 1, blobs));
  CHECK_FALSE(sum.holds({}));
  REQUIRE(sum.add(check_of(good), 1, memory));
  CHECK_FALSE(sum.holds({{good, 1}}));
}

}  // namespace covey
