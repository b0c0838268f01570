// Blobs in files and in memory; what they promise is written at core/base/blob_store.h.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/blob_store.h"

namespace covey {

// In the folder `path`, which is made when missing:
//   blobs/ab/<hex id>            a whole value
//   blobs/ab/<hex id>.chunks     the hashes of its chunks, 32 bytes each
//   partial/<hex id>.part        the chunks of an unfinished value, each in its place
//   partial/<hex id>.hashes      size (8 bytes little-endian), then the hashes of its chunks
//   partial/<hex id>.have        a byte for each chunk: 1 when it was written
//   tmp/                         half-written files, and unsynced values (chunk_slots.h); emptied at open
// Several threads may use it at once, except that the calls about one partial value must not overlap,
// other than write_chunk for different chunks, and read_written. Of an unsynced value the list is in memory alone.
// Errors: kUnavailable when another process has it open; kPermissionDenied; kDiskFull.
Result<std::unique_ptr<BlobStore>> open_blob_files(const std::string& path);

// That the folders are there which open_blob_files() made below `path`. Errors: kCorrupted naming the one that is gone.
Result<void> check_blob_folders(const std::string& path);

// That the file `path`, a whole value in a folder as above or a copy of one, makes `id`, and its .chunks, where
// there is one, is of it. Reads every byte. Errors: kCorrupted naming the file; those of reading it.
Result<void> check_blob_file(const std::string& path, const Digest& id);

// Forgets everything when it goes; for tests and simulations.
class MemoryBlobs final : public BlobStore {
 public:
  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override;
  Result<Bytes> get(const Digest& id) override;
  Result<std::uint64_t> size(const Digest& id) override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob,
                                          const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override;

 private:
  struct Partial {
    std::uint64_t size = 0;
    std::vector<Digest> hashes;
    std::vector<bool> have;
    std::vector<Bytes> chunks;
  };
  std::map<Digest, Bytes> whole_;
  std::map<Digest, Partial> partial_;
};

}  // namespace covey
