// A small text that is replaced often and must survive a crash at any moment: rewritten in place, through
// one descriptor that stays open. So it costs one write and one sync, and needs no free descriptor.
//
// The file is two slots of 4096 bytes. Each: "covey-slot-v1 TURN SUM\n", TURN from 0 (a slot's turns are
// all even or all odd), SUM the SHA-256 in hex of "TURN\n" and the text; then the text; then spaces and a
// newline up to the end of the slot. A write replaces the older slot and is synced before it returns: a
// torn one leaves the other, with the text before. A text ends with a newline and has at most kSlotTextMax
// bytes.
#pragma once
#include <optional>
#include <string>

#include "core/base/file.h"

namespace covey {

constexpr std::size_t kSlotBytes = 4096;
constexpr std::size_t kSlotTextMax = kSlotBytes - 128;

struct SlotText {
  std::string text;   // of the newest slot that verifies
  bool whole = true;  // false: the other slot does not verify, so a newer text may be lost, or was never finished
};

// Errors: kNotFound; kCorrupted, naming the path, where neither slot verifies.
Result<SlotText> read_slots(const std::string& path);

class SlotFile {
 public:
  // Replaces what is there (tmp, fsync, rename, fsync of the folder). Errors: kDiskFull, kPermissionDenied.
  static Result<SlotFile> create(const std::string& path, const std::string& text);

  // Durable when it returns. Where the path no longer names the open file (removed, or another disk mounted
  // there), and after an error, the file is made anew. Errors: as create().
  Result<void> write(const std::string& text);

 private:
  explicit SlotFile(std::string path) : path_(std::move(path)) {}
  bool in_place() const;
  Result<void> replace(const std::string& text);

  std::string path_;
  FileDescriptor file_;     // none: the next write makes the file anew
  std::uint64_t turn_ = 0;  // of the newest slot
};

}  // namespace covey
