#include "tests/crash/fault_switch.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "core/base/check.h"
#include "core/base/fault_point.h"

namespace covey {
namespace {

crash::FaultEntry* hit_entries = nullptr;  // null: this process is not watched
std::string armed_point;
std::atomic<std::uint64_t> hits_left{0};   // until death; 0: never

crash::FaultEntry& entry_of(const char* name) {
  for (std::size_t i = 0; i < crash::kPointsMax; ++i) {
    crash::FaultEntry& entry = hit_entries[i];
    std::uint32_t free = 0;
    if (entry.state.compare_exchange_strong(free, 1)) {
      std::strncpy(entry.name, name, crash::kPointNameMax);
      entry.state.store(2);
      return entry;
    }
    while (entry.state.load() == 1) ::sched_yield();  // another thread is writing the name
    if (std::strcmp(entry.name, name) == 0) return entry;
  }
  check_failed("more fault points than kPointsMax", __FILE__, __LINE__);
}

}  // namespace

void fault_point(const char* name) {
  if (hit_entries == nullptr) return;
  crash::FaultEntry& entry = entry_of(name);
  entry.hits.fetch_add(1);
  if (armed_point != crash::kAnyPoint && armed_point != name) return;
  std::uint64_t left = hits_left.load();
  while (left != 0 && !hits_left.compare_exchange_weak(left, left - 1)) {}
  if (left != 1) return;
  entry.kills.fetch_add(1);
  ::kill(::getpid(), SIGKILL);
  while (true) ::pause();
}

namespace crash {

FaultTable::FaultTable() {
  void* memory = ::mmap(nullptr, sizeof(FaultEntry) * kPointsMax, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  COVEY_CHECK(memory != MAP_FAILED);
  entries_ = static_cast<FaultEntry*>(memory);
  for (std::size_t i = 0; i < kPointsMax; ++i) new (entries_ + i) FaultEntry();
}

FaultTable::~FaultTable() { ::munmap(entries_, sizeof(FaultEntry) * kPointsMax); }

std::map<std::string, FaultTable::Count> FaultTable::counts() const {
  std::map<std::string, Count> counts;
  for (std::size_t i = 0; i < kPointsMax; ++i)
    if (entries_[i].state.load() == 2) {
      const std::uint64_t hits = entries_[i].hits.load();
      if (hits > 0) counts[entries_[i].name] = {hits, entries_[i].kills.load()};
    }
  return counts;
}

void FaultTable::clear() {
  for (std::size_t i = 0; i < kPointsMax; ++i) {
    entries_[i].hits.store(0);
    entries_[i].kills.store(0);
  }
}

std::uint64_t FaultTable::kills() const {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < kPointsMax; ++i) all += entries_[i].kills.load();
  return all;
}

void arm_faults(const FaultTable& table, const std::string& point, std::uint64_t nth) {
  armed_point = point;
  hits_left.store(nth);
  hit_entries = table.entries();
}

}  // namespace crash
}  // namespace covey
