#include "core/store/chunk_slots.h"

namespace covey {

ChunkSlots::~ChunkSlots() { clear(); }

Result<ChunkSlots::Slot> ChunkSlots::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    const auto file = static_cast<std::uint32_t>(made_ % kFiles);
    if (free_.capacity() <= made_) free_.reserve(2 * std::size_t{made_} + kFiles);
    if (files_[file].number() < 0) {
      COVEY_TRY(FileDescriptor opened, open_file(path_of(file), OpenMode::kReplace));
      files_[file] = std::move(opened);
    }
    free_.push_back({file, made_ / static_cast<std::uint32_t>(kFiles)});
    ++made_;
  }
  const Slot slot = free_.back();
  free_.pop_back();
  ++in_use_;
  return slot;
}

Result<ChunkSlots::Slot> ChunkSlots::put(ByteSpan chunk) {
  COVEY_CHECK(chunk.size() <= kChunkBytes);
  COVEY_TRY(const Slot slot, take());
  const auto written = write_at(files_[slot.file], std::uint64_t{slot.place} * kChunkBytes, chunk, path_of(slot.file));
  if (written) return slot;
  give_back({&slot, 1});
  return unexpected(written.error());
}

Result<void> ChunkSlots::read(Slot slot, std::size_t offset, std::span<std::uint8_t> out) {
  COVEY_CHECK(offset + out.size() <= kChunkBytes);
  COVEY_TRY(const std::size_t got,
            read_at(files_[slot.file], std::uint64_t{slot.place} * kChunkBytes + offset, out, path_of(slot.file)));
  if (got == out.size()) return {};
  return unexpected(ErrorCode::kCorrupted, path_of(slot.file) + ": shorter than what was written to it: something else empties this folder");
}

void ChunkSlots::give_back(std::span<const Slot> slots) {
  const std::lock_guard lock(mutex_);
  COVEY_CHECK(slots.size() <= in_use_);
  free_.insert(free_.end(), slots.begin(), slots.end());
  in_use_ -= static_cast<std::uint32_t>(slots.size());
  if (in_use_ == 0) clear();
}

void ChunkSlots::clear() {
  for (std::uint32_t file = 0; file < kFiles; ++file) {
    if (files_[file].number() < 0) continue;
    files_[file] = FileDescriptor();
    (void)remove_file(path_of(file));  // what stays is swept at the next open
  }
  free_.clear();
  made_ = 0;
}

}  // namespace covey
