#include "sim/sim_blobs.h"

#include <algorithm>

#include "core/crypto/digest.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

std::vector<Digest> hashes_of(ByteSpan value) {
  std::vector<Digest> hashes;
  for (std::size_t at = 0; at < value.size(); at += kChunkBytes)
    hashes.push_back(chunk_digest(value.subspan(at, std::min(kChunkBytes, value.size() - at))));
  return hashes;
}

Result<Bytes> part_of(const Bytes& value, std::uint64_t offset, std::size_t length) {
  COVEY_CHECK(offset <= value.size() && length <= value.size() - offset);
  const auto begin = value.begin() + static_cast<std::ptrdiff_t>(offset);
  return Bytes(begin, begin + static_cast<std::ptrdiff_t>(length));
}

Unexpected no_space() { return unexpected(ErrorCode::kDiskFull, "no space is left on the simulated disk"); }
Unexpected missing(const Digest& id) { return unexpected(ErrorCode::kNotFound, "blob " + short_hex(id) + " is not here"); }

}  // namespace

BlobPool::Value BlobPool::intern(const BlobRef& blob, Bytes value) {
  const std::lock_guard lock(mutex_);
  auto& slot = values_[blob.id];
  if (auto known = slot.lock()) return known;
  auto made = std::make_shared<const Bytes>(std::move(value));
  slot = made;
  return made;
}

BlobPool::Value BlobPool::find(const Digest& id) {
  const std::lock_guard lock(mutex_);
  const auto it = values_.find(id);
  if (it == values_.end()) return nullptr;
  auto value = it->second.lock();
  if (!value) values_.erase(it);
  return value;
}

void SimBlobs::adopt(const Digest& id, BlobPool::Value value) {
  const std::lock_guard lock(mutex_);
  whole_[id] = std::move(value);
}

Result<BlobPool::Value> SimBlobs::value_of(const Digest& id) {
  const std::lock_guard lock(mutex_);
  const auto it = whole_.find(id);
  if (it == whole_.end()) return missing(id);
  return it->second;
}

void SimBlobs::set_full(bool full) {
  const std::lock_guard lock(mutex_);
  full_ = full;
}

bool SimBlobs::full() {
  const std::lock_guard lock(mutex_);
  return full_;
}

// A torn chunk does not have its hash, which is found when the transfer is taken up: it counts as lost.
void SimBlobs::crash(Random& random) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, partial] : partial_)
    for (std::size_t i = 0; i < partial.have.size(); ++i)
      if (partial.have[i] && random.below(2) == 0) partial.have[i] = false;
}

Result<BlobRef> SimBlobs::put(ByteSpan value) {
  if (full()) return no_space();
  const BlobRef blob = blob_ref_of(value);
  adopt(blob.id, pool_.intern(blob, Bytes(value.begin(), value.end())));
  return blob;
}

bool SimBlobs::has(const Digest& id) { return value_of(id).has_value(); }

Result<Bytes> SimBlobs::get(const Digest& id) {
  COVEY_TRY(const auto value, value_of(id));
  return Bytes(*value);
}

Result<Bytes> SimBlobs::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  COVEY_TRY(const auto value, value_of(id));
  return part_of(*value, offset, length);
}

Result<void> SimBlobs::read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  const std::lock_guard lock(mutex_);
  const auto whole = whole_.find(id);
  const auto partial = partial_.find(id);
  if (whole == whole_.end() && partial == partial_.end()) return missing(id);
  const Bytes& value = whole != whole_.end() ? *whole->second : partial->second.bytes;
  COVEY_CHECK(offset <= value.size() && out.size() <= value.size() - offset);
  std::copy_n(value.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

Result<std::vector<Digest>> SimBlobs::chunk_hashes(const Digest& id) {
  COVEY_TRY(const auto value, value_of(id));
  return hashes_of(*value);
}

Result<std::vector<bool>> SimBlobs::begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) {
  const std::lock_guard lock(mutex_);
  if (full_) return no_space();
  auto [it, fresh] = partial_.try_emplace(blob.id);
  if (fresh) it->second = {blob, hashes, std::vector<bool>(hashes.size()), Bytes(blob.size)};
  return it->second.have;
}

Result<void> SimBlobs::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  const std::lock_guard lock(mutex_);
  const auto it = partial_.find(id);
  COVEY_CHECK(it != partial_.end() && index < it->second.hashes.size());
  if (full_) return no_space();
  Partial& partial = it->second;
  const std::size_t at = index * kChunkBytes;
  const std::size_t expected = std::min<std::size_t>(kChunkBytes, partial.bytes.size() - at);
  if (chunk.size() != expected || chunk_digest(chunk) != partial.hashes[index])
    return unexpected(ErrorCode::kInvalidMessage, "chunk " + std::to_string(index) + " of blob " + short_hex(id) + " has another hash");
  std::copy(chunk.begin(), chunk.end(), partial.bytes.begin() + static_cast<std::ptrdiff_t>(at));
  partial.have[index] = true;
  return {};
}

Result<void> SimBlobs::finish_partial(const Digest& id) {
  const std::lock_guard lock(mutex_);
  const auto it = partial_.find(id);
  COVEY_CHECK(it != partial_.end());
  COVEY_CHECK(std::find(it->second.have.begin(), it->second.have.end(), false) == it->second.have.end());
  whole_[id] = pool_.intern(it->second.blob, std::move(it->second.bytes));
  partial_.erase(it);
  return {};
}

void SimBlobs::drop_partial(const Digest& id) {
  const std::lock_guard lock(mutex_);
  partial_.erase(id);
}

Result<void> SimBlobs::erase(const Digest& id) {
  const std::lock_guard lock(mutex_);
  whole_.erase(id);
  return {};
}

Result<std::vector<Digest>> SimBlobs::list() {
  const std::lock_guard lock(mutex_);
  std::vector<Digest> ids;
  for (const auto& [id, value] : whole_) ids.push_back(id);
  return ids;
}

std::vector<BlobRef> SimBlobs::list_partial() {
  const std::lock_guard lock(mutex_);
  std::vector<BlobRef> parts;
  for (const auto& [id, partial] : partial_) parts.push_back(partial.blob);
  return parts;
}

Result<BlobRef> StagedBlobs::put(ByteSpan value) {
  const BlobRef blob = blob_ref_of(value);
  order_.push_back(blob.id);
  staged_[blob.id] = base_.pool().intern(blob, Bytes(value.begin(), value.end()));
  return blob;
}

bool StagedBlobs::has(const Digest& id) { return staged_.contains(id) || base_.has(id); }

Result<Bytes> StagedBlobs::get(const Digest& id) {
  if (const auto it = staged_.find(id); it != staged_.end()) return Bytes(*it->second);
  return base_.get(id);
}

Result<Bytes> StagedBlobs::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  if (const auto it = staged_.find(id); it != staged_.end()) return part_of(*it->second, offset, length);
  return base_.read(id, offset, length);
}

Result<void> StagedBlobs::read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  if (staged_.contains(id)) return read_into(id, offset, out);
  return base_.read_written(id, offset, out);
}

Result<std::vector<Digest>> StagedBlobs::chunk_hashes(const Digest& id) {
  if (const auto it = staged_.find(id); it != staged_.end()) return hashes_of(*it->second);
  return base_.chunk_hashes(id);
}

// Work makes whole values; transfers, which go chunk by chunk, use the node's blobs directly.
Result<std::vector<bool>> StagedBlobs::begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) {
  return base_.begin_partial(blob, hashes);
}
Result<void> StagedBlobs::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  return base_.write_chunk(id, index, chunk);
}
Result<void> StagedBlobs::finish_partial(const Digest& id) { return base_.finish_partial(id); }
void StagedBlobs::drop_partial(const Digest& id) { base_.drop_partial(id); }

Result<void> StagedBlobs::erase(const Digest& id) {
  staged_.erase(id);
  return base_.erase(id);
}

Result<std::vector<Digest>> StagedBlobs::list() { return base_.list(); }

void StagedBlobs::release() {
  for (auto& [id, value] : staged_) base_.adopt(id, std::move(value));
  staged_.clear();
  order_.clear();
}

void StagedBlobs::crash(Random& random) {
  const std::uint64_t survivors = base_.full() ? 0 : random.below(order_.size() + 1);
  for (std::uint64_t i = 0; i < survivors; ++i)
    if (const auto it = staged_.find(order_[i]); it != staged_.end()) base_.adopt(it->first, it->second);
}

}  // namespace covey
