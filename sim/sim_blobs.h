// Blobs of simulated nodes: each node has its own set of ids, the bytes are shared by all of them,
// so that a thousand clients with one model hold it once.
#pragma once
#include <map>
#include <memory>
#include <mutex>

#include "core/base/blob_store.h"
#include "core/base/random.h"

namespace covey {

// Values by id, kept while any node holds them. Thread-safe.
class BlobPool {
 public:
  using Value = std::shared_ptr<const Bytes>;  // shared: by every node that has the blob
  Value intern(const BlobRef& blob, Bytes value);
  Value find(const Digest& id);

 private:
  std::mutex mutex_;
  std::map<Digest, std::weak_ptr<const Bytes>> values_;
};

// Whole values survive the simulated process's crash: they are synced before anyone hears of them. Of
// a partial value each chunk may be lost, as its pages may not have reached the disk. Thread-safe:
// work reads it while the world goes on.
class SimBlobs final : public BlobStore {
 public:
  explicit SimBlobs(BlobPool& pool) : pool_(pool) {}  // `pool` outlives this

  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override;
  Result<Bytes> get(const Digest& id) override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override;

  std::vector<BlobRef> list_partial();  // by id
  void adopt(const Digest& id, BlobPool::Value value);
  void crash(Random& random);
  // Nothing more can be written: puts, chunks and partial values fail with kDiskFull.
  void set_full(bool full);
  bool full();
  BlobPool& pool() { return pool_; }

 private:
  struct Partial {
    BlobRef blob;
    std::vector<Digest> hashes;
    std::vector<bool> have;
    Bytes bytes;
  };
  Result<BlobPool::Value> value_of(const Digest& id);

  BlobPool& pool_;
  std::mutex mutex_;
  bool full_ = false;
  std::map<Digest, BlobPool::Value> whole_;
  std::map<Digest, Partial> partial_;
};

// What a piece of work sees: reads through to its node, but what it puts is held back until the
// world lets the work end, so that real time never shows in virtual time.
class StagedBlobs final : public BlobStore {
 public:
  explicit StagedBlobs(SimBlobs& base) : base_(base) {}  // `base` outlives this

  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override;
  Result<Bytes> get(const Digest& id) override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override;

  bool empty() const { return staged_.empty(); }
  void release();  // into the node
  // The process died before the work ended: what it had put by then, a random part in the order of
  // putting, is in the node all the same, and no row names it.
  void crash(Random& random);

 private:
  SimBlobs& base_;
  std::map<Digest, BlobPool::Value> staged_;
  std::vector<Digest> order_;
};

}  // namespace covey
