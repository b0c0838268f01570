// Where the chunks of unsynced values lie: places of a chunk's size in a few files, which serve again as soon
// as they are free, the last freed first. So the files are no larger than what was being received at once, and
// what is written goes over memory that the page cache has already. Measured on a virtual machine that gives
// free memory back to its host: 0.13 CPU-seconds a GB over such pages, 2.4 over fresh ones.
// What a place held may be read by nobody: who takes one knows what it wrote. Thread-safe.
#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/base/blob_store.h"
#include "core/base/file.h"

namespace covey {

class ChunkSlots {
 public:
  struct Slot {
    std::uint32_t file = 0, place = 0;
  };

  explicit ChunkSlots(std::string folder) : folder_(std::move(folder)) {}  // which is emptied at the next open
  ~ChunkSlots();
  ChunkSlots(const ChunkSlots&) = delete;
  ChunkSlots& operator=(const ChunkSlots&) = delete;

  // One for this chunk, of at most kChunkBytes, which lies in it now. Errors: kDiskFull; then none is taken.
  Result<Slot> put(ByteSpan chunk);
  // What was put there, from `offset` on. Errors: kCorrupted when the file is shorter.
  Result<void> read(Slot slot, std::size_t offset, std::span<std::uint8_t> out);
  // Once nobody reads them any more. With the last one the files go.
  void give_back(std::span<const Slot> slots);

 private:
  static constexpr std::size_t kFiles = 32;  // a file is written by one thread at a time: rarely do two meet
  std::string path_of(std::uint32_t file) const { return folder_ + "/chunks" + std::to_string(file); }
  Result<Slot> take();
  void clear();

  std::string folder_;
  std::mutex mutex_;
  std::array<FileDescriptor, kFiles> files_;
  std::uint32_t made_ = 0;   // places there are, in all files
  std::uint32_t in_use_ = 0;
  std::vector<Slot> free_;   // room for all: giving back cannot fail
};

}  // namespace covey
