#include "core/store/blob_rules.h"
#include "core/store/blobs.h"

namespace covey {

Result<BlobRef> MemoryBlobs::put(ByteSpan value) {
  const BlobRef blob{blob_id(value.size(), blob_rules::hash_chunks(value)), value.size()};
  whole_.insert_or_assign(blob.id, Bytes(value.begin(), value.end()));
  return blob;
}

bool MemoryBlobs::has(const Digest& id) { return whole_.contains(id); }

Result<Bytes> MemoryBlobs::get(const Digest& id) {
  const auto found = whole_.find(id);
  if (found == whole_.end()) return blob_rules::missing(id);
  return found->second;
}

Result<std::uint64_t> MemoryBlobs::size(const Digest& id) {
  const auto found = whole_.find(id);
  if (found == whole_.end()) return blob_rules::missing(id);
  return std::uint64_t{found->second.size()};
}

Result<Bytes> MemoryBlobs::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  const auto found = whole_.find(id);
  if (found == whole_.end()) return blob_rules::missing(id);
  COVEY_TRY_VOID(blob_rules::check_range(id, found->second.size(), offset, length));
  const ByteSpan part = ByteSpan(found->second).subspan(static_cast<std::size_t>(offset), length);
  return Bytes(part.begin(), part.end());
}

Result<void> MemoryBlobs::read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) {
  if (has(id)) return read_into(id, offset, out);
  const auto found = partial_.find(id);
  if (found == partial_.end()) return blob_rules::missing_partial(id);
  COVEY_TRY_VOID(blob_rules::check_range(id, found->second.size, offset, out.size()));
  for (std::size_t got = 0; got < out.size();) {
    const std::uint64_t at = offset + got;
    const Bytes& chunk = found->second.chunks[static_cast<std::size_t>(at / kChunkBytes)];
    const std::size_t begin = static_cast<std::size_t>(at % kChunkBytes);
    COVEY_CHECK(begin < chunk.size());  // it was written
    const std::size_t count = std::min(chunk.size() - begin, out.size() - got);
    std::copy_n(chunk.begin() + static_cast<std::ptrdiff_t>(begin), count, out.begin() + static_cast<std::ptrdiff_t>(got));
    got += count;
  }
  return {};
}

Result<std::vector<Digest>> MemoryBlobs::chunk_hashes(const Digest& id) {
  const auto found = whole_.find(id);
  if (found == whole_.end()) return blob_rules::missing(id);
  return blob_rules::hash_chunks(found->second);
}

Result<std::vector<bool>> MemoryBlobs::begin_partial(const BlobRef& blob,
                                                     const std::vector<Digest>& hashes) {
  COVEY_TRY_VOID(blob_rules::check_hashes(blob, hashes));
  if (has(blob.id)) return std::vector<bool>(hashes.size(), true);
  const auto [entry, made] = partial_.try_emplace(blob.id);
  Partial& partial = entry->second;
  if (made) {
    partial.size = blob.size;
    partial.hashes = hashes;
    partial.have.resize(hashes.size());
    partial.chunks.resize(hashes.size());
  }
  return partial.have;
}

Result<void> MemoryBlobs::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  if (const auto whole = whole_.find(id); whole != whole_.end()) {
    const BlobRef blob{id, whole->second.size()};
    COVEY_TRY_VOID(blob_rules::check_index(blob, index));
    return blob_rules::check_chunk(blob, index, chunk, blob_rules::hash_chunks(whole->second)[index]);
  }
  const auto found = partial_.find(id);
  if (found == partial_.end()) return blob_rules::missing_partial(id);
  Partial& partial = found->second;
  const BlobRef blob{id, partial.size};
  COVEY_TRY_VOID(blob_rules::check_index(blob, index));
  COVEY_TRY_VOID(blob_rules::check_chunk(blob, index, chunk, partial.hashes[index]));
  partial.chunks[index].assign(chunk.begin(), chunk.end());
  partial.have[index] = true;
  return {};
}

Result<void> MemoryBlobs::finish_partial(const Digest& id) {
  if (has(id)) {
    drop_partial(id);
    return {};
  }
  const auto found = partial_.find(id);
  if (found == partial_.end()) return blob_rules::missing_partial(id);
  const Partial& partial = found->second;
  const auto lacking = std::count(partial.have.begin(), partial.have.end(), false);
  if (lacking != 0) return blob_rules::unfinished(id, static_cast<std::size_t>(lacking));
  Bytes value;
  value.reserve(static_cast<std::size_t>(partial.size));
  for (const Bytes& chunk : partial.chunks) value.insert(value.end(), chunk.begin(), chunk.end());
  partial_.erase(found);
  whole_.emplace(id, std::move(value));
  return {};
}

void MemoryBlobs::drop_partial(const Digest& id) { partial_.erase(id); }

Result<void> MemoryBlobs::erase(const Digest& id) {
  whole_.erase(id);
  return {};
}

Result<std::vector<Digest>> MemoryBlobs::list() {
  std::vector<Digest> ids;
  for (const auto& [id, value] : whole_) ids.push_back(id);
  return ids;
}

}  // namespace covey
