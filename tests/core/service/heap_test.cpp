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

// A sanitizer has an allocator of its own, which keeps what is freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kOtherAllocator = true;
#else
constexpr bool kOtherAllocator = false;
#endif

}  // namespace

TEST_CASE("heap: pages are given back for what came to be resident and unused since the last time") {
  TrimRule rule(8 * kMiB);
  CHECK_FALSE(rule.due(20 * kMiB, 10 * kMiB));
  CHECK_FALSE(rule.due(27 * kMiB, 10 * kMiB));
  CHECK(rule.due(28 * kMiB, 10 * kMiB));
  rule.given_back(21 * kMiB, 10 * kMiB);
  CHECK_FALSE(rule.due(28 * kMiB, 10 * kMiB));
  CHECK_FALSE(rule.due(60 * kMiB, 49 * kMiB));  // it grew, and all of that is used
  CHECK(rule.due(60 * kMiB, 20 * kMiB));
  rule.given_back(31 * kMiB, 20 * kMiB);
  CHECK_FALSE(rule.due(31 * kMiB, 40 * kMiB));  // used, not touched yet
  CHECK_FALSE(rule.due(30 * kMiB, 40 * kMiB - 1));
  CHECK(rule.due(40 * kMiB, 40 * kMiB));
}

// By the allocator's figures nothing happened: as much is free as before.
TEST_CASE("heap: what was used and freed between two looks goes back too" * doctest::skip(kOtherAllocator)) {
  constexpr std::size_t kBlock = 2000, kBlocks = 64 * kMiB / kBlock;
  std::vector<std::unique_ptr<char[]>> blocks(kBlocks);
  const auto burst = [&] {
    for (auto& block : blocks) {
      block = std::make_unique<char[]>(kBlock);
      std::memset(block.get(), 1, kBlock);
    }
  };
  burst();
  const auto last = std::make_unique<char[]>(kBlock);  // on top
  const std::size_t full = resident_bytes();
  for (auto& block : blocks) block.reset();
  const HeapKeeper keeper(std::chrono::milliseconds(10), 8 * kMiB);
  const auto given_back = [&] {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (resident_bytes() + 48 * kMiB > full && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return resident_bytes() + 48 * kMiB <= full;
  };
  for (int turn = 0; turn < 3; ++turn) {
    burst();
    for (auto& block : blocks) block.reset();
    CHECK(given_back());
  }
}

TEST_CASE("heap: a block that lives keeps nothing that was freed below it" * doctest::skip(kOtherAllocator)) {
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
