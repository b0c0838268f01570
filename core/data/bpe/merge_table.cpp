#include "core/data/bpe/merge_table.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr std::size_t kShortMax = 48;  // symbols; up to here a scan for the least rank beats the heap
constexpr std::uint32_t kGone = ~std::uint32_t{0};
constexpr std::uint32_t kEnd = ~std::uint32_t{0};  // of the list

}  // namespace

MergeTable::MergeTable(std::size_t merges) {
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(16, merges * 2));
  slots_.resize(slots);
  mask_ = slots - 1;
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
}

void MergeTable::put(std::uint32_t left, std::uint32_t right, Merge merge) {
  const std::uint64_t key = std::uint64_t{left} << 32 | right;
  std::size_t at = place(key);
  while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask_;
  slots_[at] = {key, merge};
}

std::size_t Merger::merge(std::span<std::uint32_t> symbols) {
  return symbols.size() <= kShortMax ? merge_short(symbols) : merge_long(symbols);
}

std::size_t Merger::merge_short(std::span<std::uint32_t> symbols) {
  std::size_t count = symbols.size();
  std::array<MergeTable::Merge, kShortMax> merges;  // merges[i]: of symbols i and i + 1
  for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = table_.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == MergeTable::kNone) break;
    symbols[best] = merges[best].id;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1 < kShortMax ? i + 1 : i];
    }
    --count;
    if (best > 0) merges[best - 1] = table_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = table_.find(symbols[best], symbols[best + 1]);
  }
  return count;
}

void Merger::offer(std::uint32_t at) {
  const Symbol& left = list_[at];
  if (left.next == kEnd) return;
  const MergeTable::Merge merge = table_.find(left.id, list_[left.next].id);
  if (merge.rank == MergeTable::kNone) return;
  heap_.push_back({merge.rank, at, left.id, list_[left.next].id, merge.id});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

std::size_t Merger::merge_long(std::span<std::uint32_t> symbols) {
  COVEY_CHECK(symbols.size() < kEnd);
  list_.resize(symbols.size());
  heap_.clear();
  for (std::uint32_t i = 0; i < symbols.size(); ++i)
    list_[i] = {symbols[i], i - 1, i + 1 == symbols.size() ? kEnd : i + 1};
  for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) offer(i);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    Symbol& left = list_[candidate.at];
    // One of the two was merged meanwhile: the pair that stands there now was offered by itself.
    if (left.id != candidate.left || left.next == kEnd || list_[left.next].id != candidate.right) continue;
    Symbol& right = list_[left.next];
    left.id = candidate.id;
    left.next = right.next;
    if (right.next != kEnd) list_[right.next].previous = candidate.at;
    right.id = kGone;
    if (left.previous != kEnd) offer(left.previous);
    offer(candidate.at);
  }
  std::size_t count = 0;
  for (std::uint32_t i = 0; i != kEnd; i = list_[i].next) symbols[count++] = list_[i].id;
  return count;
}

}  // namespace covey
