// What every blob store checks in the same words.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/blob_store.h"
#include "core/crypto/digest.h"

namespace covey::blob_rules {

inline std::vector<Digest> hash_chunks(ByteSpan value) {
  std::vector<Digest> hashes;
  hashes.reserve(chunk_count(value.size()));
  while (!value.empty()) {
    const ByteSpan chunk = value.first(std::min(value.size(), kChunkBytes));
    hashes.push_back(chunk_digest(chunk));
    value = value.subspan(chunk.size());
  }
  return hashes;
}

// Bytes in chunk `index` of a value of `size` bytes; index < chunk_count(size).
inline std::size_t chunk_bytes(std::uint64_t size, std::size_t index) {
  const std::uint64_t start = std::uint64_t{index} * kChunkBytes;
  return static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, size - start));
}

inline std::string name_of_blob(const Digest& id) { return "blob " + short_hex(id); }

inline Unexpected missing(const Digest& id) {
  return unexpected(ErrorCode::kNotFound, name_of_blob(id) + " is not here");
}
inline Unexpected missing_partial(const Digest& id) {
  return unexpected(ErrorCode::kNotFound,
                    name_of_blob(id) + " has no unfinished transfer: begin one first");
}

inline Result<void> check_range(const Digest& id, std::uint64_t size, std::uint64_t offset,
                                std::size_t length) {
  if (offset <= size && length <= size - offset) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    name_of_blob(id) + " has " + std::to_string(size) + " bytes: " +
                        std::to_string(length) + " at " + std::to_string(offset) + " is outside");
}

// That these hashes and this size make this id.
inline Result<void> check_hashes(const BlobRef& blob, const std::vector<Digest>& hashes) {
  if (hashes.size() != chunk_count(blob.size))
    return unexpected(ErrorCode::kInvalidMessage,
                      name_of_blob(blob.id) + " of " + std::to_string(blob.size) + " bytes has " +
                          std::to_string(chunk_count(blob.size)) + " chunks, not " +
                          std::to_string(hashes.size()));
  if (blob_id(blob.size, hashes) != blob.id)
    return unexpected(ErrorCode::kInvalidMessage,
                      name_of_blob(blob.id) + ": its chunk hashes do not add up to its id");
  return {};
}

inline Result<void> check_index(const BlobRef& blob, std::size_t index) {
  if (index < chunk_count(blob.size)) return {};
  return unexpected(ErrorCode::kInvalidMessage,
                    name_of_blob(blob.id) + " has " + std::to_string(chunk_count(blob.size)) +
                        " chunks: there is no chunk " + std::to_string(index));
}

// For an index that check_index() took. The length counts too: whoever made the hashes may have
// made them of chunks of any length.
inline Result<void> check_chunk(const BlobRef& blob, std::size_t index, ByteSpan chunk,
                                const Digest& expected) {
  const std::string where = name_of_blob(blob.id) + ", chunk " + std::to_string(index);
  const std::size_t bytes = chunk_bytes(blob.size, index);
  if (chunk.size() != bytes)
    return unexpected(ErrorCode::kInvalidMessage, where + ": expected " + std::to_string(bytes) +
                                                      " bytes, got " + std::to_string(chunk.size()));
  if (chunk_digest(chunk) != expected)
    return unexpected(ErrorCode::kInvalidMessage, where + ": its hash differs");
  return {};
}

inline Unexpected unfinished(const Digest& id, std::size_t missing_count) {
  return unexpected(ErrorCode::kUnavailable, name_of_blob(id) + " still lacks " +
                                                 std::to_string(missing_count) + " chunks");
}

}  // namespace covey::blob_rules
