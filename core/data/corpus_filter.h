// Keeps from text only what has not been kept before: near-duplicate paragraphs are dropped.
// Resemblance by word shingles follows Broder 1997 ("On the resemblance and containment of
// documents"); it is measured against everything kept so far, not against one document.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace covey {

// Open addressing over 64-bit hashes: a tenth of the memory of a set of nodes.
class HashSet64 {
 public:
  bool insert(std::uint64_t hash);  // false if it was there
  bool contains(std::uint64_t hash) const;
  std::size_t size() const { return used_; }

 private:
  std::size_t slot_of(std::uint64_t hash) const;
  void grow();
  std::vector<std::uint64_t> slots_;  // 0: free
  std::size_t used_ = 0;
};

// What several clients' texts hold together. Share one among all of them, so that no two hold the
// same paragraph.
class SeenText {
 public:
  struct Kept {
    std::string text;  // the paragraphs kept, as they were; ends in a line break
    std::uint64_t paragraphs_kept = 0;
    std::uint64_t paragraphs_dropped = 0;
  };
  // Paragraphs are separated by lines of blanks and comment marks, and cut after kLinesMax lines.
  // One of kShingleWords words or more is dropped when over 70 % of its shingles of kShingleWords
  // words were kept before, here or in another text; letter case, line breaks and punctuation
  // (comment marks) do not count. A shorter one shares the fate of the one before it.
  Kept keep_new(std::string_view text);

  static constexpr std::size_t kShingleWords = 8;
  static constexpr std::size_t kLinesMax = 64;

 private:
  HashSet64 shingles_;
};

// A NUL, or more than 1 % of bytes that are no UTF-8.
bool looks_binary(ByteSpan bytes);

}  // namespace covey
