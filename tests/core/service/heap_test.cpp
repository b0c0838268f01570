// What a process freed goes back to the system while it runs.
#include "core/service/heap.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace covey;

namespace {

constexpr std::size_t kMiB = 1U << 20U;

std::size_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmRSS:" && status >> word) return std::stoul(word) * 1024;
  return 0;
}

}  // namespace

TEST_CASE("heap: pages are given back for what was freed since the last time, not for what is free") {
  TrimRule rule(8 * kMiB);
  CHECK_FALSE(rule.due(7 * kMiB));
  CHECK(rule.due(9 * kMiB));
  CHECK_FALSE(rule.due(9 * kMiB));   // given back already: free, but no page behind it
  CHECK_FALSE(rule.due(16 * kMiB));
  CHECK_FALSE(rule.due(2 * kMiB));   // used again
  CHECK(rule.due(10 * kMiB));
}

TEST_CASE("heap: a block that lives keeps nothing that was freed below it") {
  constexpr std::size_t kBlock = 2000, kBlocks = 64 * kMiB / kBlock;  // small enough for the heap itself
  std::vector<std::unique_ptr<char[]>> blocks(kBlocks);
  for (auto& block : blocks) {
    block = std::make_unique<char[]>(kBlock);
    std::memset(block.get(), 1, kBlock);
  }
  const HeapKeeper keeper(std::chrono::milliseconds(10), 8 * kMiB);
  const std::size_t before = resident_bytes();
  auto last = std::make_unique<char[]>(kBlock);  // on top
  blocks.clear();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (resident_bytes() + 48 * kMiB > before && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(resident_bytes() + 48 * kMiB <= before);
  CHECK(last[0] == 0);
}
