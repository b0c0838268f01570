// What goes wrong in a simulated world, and when it stops going wrong.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/base/time.h"

namespace covey {

struct NetworkModel {
  Duration delay = std::chrono::milliseconds(20);   // one way, least
  Duration jitter = std::chrono::milliseconds(30);  // uniform on top; reorders
  double loss = 0;                                  // probability per frame, [0, 0.9]
  double duplicate = 0;
  double bytes_per_second = 12.5e6;                 // of one node's link, both ways
};

struct Crash {
  std::size_t node = 0;       // 0: the coordinator, 1..: clients
  Duration at{};              // since the world began
  Duration down{};            // then it starts again from its disk
  bool operator==(const Crash&) const = default;
};

// The process dies as its `nth` durable write (from 1, over all its starts) has been asked for but
// not confirmed: where an acknowledgement that came too early shows.
struct WriteCrash {
  std::size_t node = 0;
  std::uint64_t nth = 0;
  Duration down{};
};

// Nodes in `cut` and the rest do not hear each other.
struct Partition {
  Duration from{};
  Duration to{};
  std::vector<std::size_t> cut;
};

struct FaultPlan {
  NetworkModel network;
  std::vector<Crash> crashes;
  std::vector<WriteCrash> write_crashes;
  std::vector<Partition> partitions;
  Duration quiet_after = Duration::max();  // no loss, no duplicates from here on
};

// A random plan for `clients` clients whose faults all stop after `horizon`.
FaultPlan random_faults(std::size_t clients, Duration horizon, Random random);

}  // namespace covey
