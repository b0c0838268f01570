// What stands behind fault_point() in the crash harness: a table in memory shared with the process
// that watches, so that the count of hits outlives the process that dies, and the switch that kills.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <string>

namespace covey::crash {

inline constexpr std::size_t kPointsMax = 128;
inline constexpr std::size_t kPointNameMax = 47;  // bytes
inline constexpr const char* kAnyPoint = "*";

struct FaultEntry {
  std::atomic<std::uint32_t> state{0};  // 0: free, 1: being named, 2: named
  char name[kPointNameMax + 1] = {};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> kills{0};
};

// Memory shared with every process forked later; lives as long as the process that made it.
class FaultTable {
 public:
  FaultTable();
  ~FaultTable();
  FaultTable(const FaultTable&) = delete;
  FaultTable& operator=(const FaultTable&) = delete;

  struct Count {
    std::uint64_t hits = 0;
    std::uint64_t kills = 0;
  };
  std::map<std::string, Count> counts() const;
  void clear();  // the counts; names stay
  std::uint64_t kills() const;

  FaultEntry* entries() const { return entries_; }

 private:
  FaultEntry* entries_;
};

// In the process that is to die: from now on hits are counted, and the `nth` hit (from 1) of `point`,
// or of any for kAnyPoint, ends the process by SIGKILL. nth 0: only counted.
void arm_faults(const FaultTable& table, const std::string& point, std::uint64_t nth);

}  // namespace covey::crash
