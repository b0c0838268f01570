// The administrative journal: who submitted, enrolled, revoked, and each job's milestones. The last
// kJournalEntriesMax entries are kept, in memory as on disk.
#pragma once
#include <cstdint>
#include <deque>

#include "core/base/batch.h"
#include "core/protocol/message.h"

namespace covey {

inline constexpr std::size_t kJournalEntriesMax = 10'000;
inline constexpr std::size_t kJournalTextBytesMax = 512;
inline constexpr std::size_t kJournalPageTextBytesMax = 12 * 1024;  // so that a page of entries fits a control frame

class Journal {
 public:
  Result<void> load(ByteSpan row);  // in the order of the keys; errors: kCorrupted

  // Becomes durable with `batch`, which also erases what is too old.
  void write(Batch& batch, Instant now, JobId job, std::string text);

  // As many entries after `after` as fit a page, at least one where there is one; job 0: of all.
  std::vector<JournalEntry> page(JobId job, std::uint64_t after) const;

 private:
  std::deque<JournalEntry> entries_;  // ascending
  std::uint64_t last_ = 0;
};

// Cut to `bytes_max` with "..." at the end, never inside a UTF-8 character.
std::string shortened(std::string text, std::size_t bytes_max);
// "1 attempt", "3 attempts".
std::string counted(std::uint64_t count, const std::string& what);

}  // namespace covey
