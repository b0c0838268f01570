// The merges of a byte-level BPE, ready for encoding one piece of text. Internal to this folder.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace covey {

// (left, right) -> (rank, merged id), open addressing: a look-up is the inner loop of encoding.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = kNone, id = 0;
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  explicit MergeTable(std::size_t merges);
  void put(std::uint32_t left, std::uint32_t right, Merge merge);  // the last one of a pair counts
  Merge find(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t key = std::uint64_t{left} << 32 | right;
    for (std::size_t at = place(key);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.merge;
      if (slot.key == kEmpty) return {};
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  std::size_t place(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> shift_) & mask_;
  }
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  unsigned shift_ = 0;
};

// Merges symbols until no pair has a merge: always the pair of lowest rank, of equal ones the first.
// Keeps its memory from call to call.
class Merger {
 public:
  explicit Merger(const MergeTable& table) : table_(table) {}
  // Changes `symbols` in place and returns how many are left at its front.
  std::size_t merge(std::span<std::uint32_t> symbols);

 private:
  struct Symbol {
    std::uint32_t id = 0, previous = 0, next = 0;  // of the list; an id of kGone was merged away
  };
  struct Candidate {
    std::uint32_t rank = 0, at = 0, left = 0, right = 0, id = 0;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  std::size_t merge_short(std::span<std::uint32_t> symbols);
  std::size_t merge_long(std::span<std::uint32_t> symbols);
  void offer(std::uint32_t at);

  const MergeTable& table_;
  std::vector<Symbol> list_;
  std::vector<Candidate> heap_;
};

}  // namespace covey
