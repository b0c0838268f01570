// What this machine can do, measured at start.
#pragma once
#include <cstdint>

#include "core/base/clock.h"
#include "core/protocol/message.h"
#include "core/tensor/ops.h"

namespace covey {

struct MachineLimits {              // what the site lends, 0: all of the machine's
  std::uint32_t cores = 0;
  std::uint64_t memory_bytes = 0;
};

// Cores that this process may run on and memory that it may use (the smaller of the machine's and
// its control group's), within `limits`; `gflops` from a matrix product that takes about 50 ms.
Capability measure_capability(Ops& ops, Clock& clock, MachineLimits limits);

// Whether this machine computes AES in hardware; without, masks are another cipher's.
bool has_aes_instructions();

}  // namespace covey
