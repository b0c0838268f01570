#include "core/service/slot_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "core/base/check.h"
#include "core/base/fault_point.h"
#include "core/crypto/digest.h"
#include "core/service/text_file.h"

namespace covey {
namespace {

constexpr std::string_view kHead = "covey-slot-v1 ";

bool fits(const std::string& text) { return text.ends_with('\n') && text.size() <= kSlotTextMax; }

struct Slot {
  std::uint64_t turn = 0;
  std::string text;
};

std::string slot_of(std::uint64_t turn, const std::string& text) {
  const std::string number = std::to_string(turn);
  std::string slot = std::string(kHead) + number + " " + hex(sha256(bytes_of(number + "\n" + text)).span()) + "\n" + text;
  slot.resize(kSlotBytes - 1, ' ');
  return slot + "\n";
}

// Nothing where it is not, to the last byte, what slot_of() writes at this place.
std::optional<Slot> slot_at(std::string_view file, std::size_t place) {
  if (file.size() < (place + 1) * kSlotBytes) return std::nullopt;
  const std::string_view whole = file.substr(place * kSlotBytes, kSlotBytes);
  const std::size_t line = whole.find('\n');
  if (!whole.starts_with(kHead) || line == std::string_view::npos) return std::nullopt;
  Slot slot;
  const auto [end, error] = std::from_chars(whole.data() + kHead.size(), whole.data() + line, slot.turn);
  if (error != std::errc() || slot.turn % 2 != place) return std::nullopt;
  // The text ends with its last line; the padding has no newline but its own.
  const std::size_t last = whole.rfind('\n', kSlotBytes - 2);
  slot.text = whole.substr(line + 1, last > line ? last - line : 0);
  if (!fits(slot.text) || whole != slot_of(slot.turn, slot.text)) return std::nullopt;
  return slot;
}

}  // namespace

Result<SlotText> read_slots(const std::string& path) {
  COVEY_TRY(const Bytes bytes, read_file(path, 2 * kSlotBytes));
  const std::string_view file = text_of(bytes);
  const std::optional<Slot> even = slot_at(file, 0), odd = slot_at(file, 1);
  if (!even && !odd) return unexpected(ErrorCode::kCorrupted, path + " does not verify (neither of its two slots)");
  const Slot& newest = !odd || (even && even->turn > odd->turn) ? *even : *odd;
  return SlotText{newest.text, even && odd};
}

Result<SlotFile> SlotFile::create(const std::string& path, const std::string& text) {
  COVEY_CHECK(fits(text));
  SlotFile made(path);
  COVEY_TRY_VOID(made.replace(text));
  return made;
}

bool SlotFile::in_place() const {
  struct stat ours {}, there {};
  return file_.number() >= 0 && ::fstat(file_.number(), &ours) == 0 && ::stat(path_.c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

Result<void> SlotFile::write(const std::string& text) {
  COVEY_CHECK(fits(text));
  if (!in_place()) return replace(text);
  // Taken back only when all is well: after an error the kernel's view of the file and the disk's may differ.
  FileDescriptor file = std::move(file_);
  const std::uint64_t turn = turn_ + 1;
  COVEY_TRY_VOID(write_at(file, turn % 2 * kSlotBytes, bytes_of(slot_of(turn, text)), path_));
  fault_point("slot_file.written");
  while (::fdatasync(file.number()) != 0)
    if (errno != EINTR) return unexpected(system_error_of(errno, "cannot sync " + path_));
  fault_point("slot_file.synced");
  file_ = std::move(file);
  turn_ = turn;
  return {};
}

Result<void> SlotFile::replace(const std::string& text) {
  file_ = FileDescriptor();
  COVEY_TRY_VOID(write_file(path_, bytes_of(slot_of(0, text) + slot_of(1, text))));
  turn_ = 1;
  // Where strangers hold every descriptor the text is safe all the same, and the next one replaces it whole.
  if (auto file = open_file(path_, OpenMode::kReadWrite)) file_ = *std::move(file);
  return {};
}

}  // namespace covey
