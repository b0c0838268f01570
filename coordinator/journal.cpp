#include "coordinator/journal.h"

#include <algorithm>

#include "coordinator/tables.h"
#include "core/protocol/limits.h"
#include "core/protocol/records.h"

namespace covey {

Result<void> Journal::load(ByteSpan row) {
  COVEY_TRY(JournalEntry entry, decode_journal_entry(row));
  if (entry.sequence <= last_)
    return unexpected(ErrorCode::kCorrupted, "journal entry " + std::to_string(entry.sequence) + " out of order");
  last_ = entry.sequence;
  entries_.push_back(std::move(entry));
  return {};
}

void Journal::write(Batch& batch, Instant now, JobId job, std::string text) {
  JournalEntry entry{++last_, now, job, shortened(std::move(text), kJournalTextBytesMax)};
  batch.put(journal_key(entry.sequence), encode(entry));
  entries_.push_back(std::move(entry));
  if (entries_.size() <= kJournalEntriesMax) return;
  batch.erase(journal_key(entries_.front().sequence));
  entries_.pop_front();
}

std::vector<JournalEntry> Journal::page(JobId job, std::uint64_t after) const {
  std::vector<JournalEntry> rows;
  auto at = std::upper_bound(entries_.begin(), entries_.end(), after,
                             [](std::uint64_t sequence, const JournalEntry& entry) { return sequence < entry.sequence; });
  std::size_t bytes = 0;
  for (; at != entries_.end() && rows.size() < kPageRowsMax; ++at) {
    if (job != 0 && at->job != job) continue;
    bytes += at->text.size();
    if (!rows.empty() && bytes > kJournalPageTextBytesMax) break;
    rows.push_back(*at);
  }
  return rows;
}

std::string shortened(std::string text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  COVEY_CHECK(bytes_max >= 4);
  std::size_t end = bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

std::string counted(std::uint64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace covey
