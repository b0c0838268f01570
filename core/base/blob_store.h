// Content-addressed large values: model shards, updates. An interface, so that drivers use files
// and the simulator uses memory with injected faults.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/bytes.h"

namespace covey {

inline constexpr std::size_t kChunkBytes = 256 * 1024;

// Names a value: `id` is SHA-256 over ("covey blob v1", size, every chunk's SHA-256); see blob_id().
struct BlobRef {
  Digest id;
  std::uint64_t size = 0;  // bytes
  auto operator<=>(const BlobRef&) const = default;
};

inline std::size_t chunk_count(std::uint64_t size) {
  return static_cast<std::size_t>(size / kChunkBytes + (size % kChunkBytes != 0));  // no overflow
}

// A value made piece by piece, which need never be in memory as a whole. Dropped unless finished.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // Errors: kResourceExhausted when the disk is full; the writer is then of no more use.
  virtual Result<void> append(ByteSpan piece) = 0;
  // What was appended at `offset`; all of `out` must have been.
  virtual Result<void> read_back(std::uint64_t offset, std::span<std::uint8_t> out) = 0;
  // As BlobStore::put of all pieces: durable when it returns. The last call.
  virtual Result<BlobRef> finish() = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Durable when it returns. Errors: kDiskFull.
  virtual Result<BlobRef> put(ByteSpan value) = 0;
  // One that gathers the value in memory and puts it; stores of files override this. The store
  // outlives its writers.
  virtual Result<std::unique_ptr<BlobWriter>> writer();
  virtual bool has(const Digest& id) = 0;
  // Whole value, verified against its id. Errors: kNotFound, kCorrupted.
  virtual Result<Bytes> get(const Digest& id) = 0;
  // Bytes of a whole value. Stores that know it without reading override this.
  virtual Result<std::uint64_t> size(const Digest& id) {
    COVEY_TRY(const Bytes value, get(id));
    return static_cast<std::uint64_t>(value.size());
  }
  // Part of a whole value; `offset + length` within its size.
  virtual Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) = 0;
  // The same into memory that is there already.
  virtual Result<void> read_into(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out);
  // The same of a value that may still be unfinished, of chunks that were written.
  virtual Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) = 0;
  // Hashes of the chunks of a whole value, in order.
  virtual Result<std::vector<Digest>> chunk_hashes(const Digest& id) = 0;

  // Partial values, which survive a restart. `begin_partial` is idempotent and says which chunks
  // are there already. `write_chunk` verifies the chunk against `hashes`. `finish_partial` makes
  // the value whole and durable. Errors: kInvalidMessage when a hash differs.
  virtual Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) = 0;
  // As begin_partial, of a value that a restart may lose: nothing is synced before finish_partial, and
  // read_written is the way to read one that is never finished.
  virtual Result<std::vector<bool>> begin_unsynced(const BlobRef& blob, const std::vector<Digest>& hashes) {
    return begin_partial(blob, hashes);
  }
  virtual Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) = 0;
  virtual Result<void> finish_partial(const Digest& id) = 0;
  virtual void drop_partial(const Digest& id) = 0;

  virtual Result<void> erase(const Digest& id) = 0;  // of a missing value: success
  virtual Result<std::vector<Digest>> list() = 0;    // whole values only
};

}  // namespace covey
