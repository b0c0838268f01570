#include "client/capability.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <vector>

namespace covey {
namespace {

constexpr std::int64_t kSide = 256;  // one product: 34 MFLOP
constexpr Duration kMeasure = std::chrono::milliseconds(50);

std::uint32_t cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
  return std::max(1U, std::thread::hardware_concurrency());  // more CPUs than cpu_set_t holds
}

std::uint64_t memory_of_machine() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes)
             : 0;
}

// 0: no limit (the file says "max", or there is none).
std::uint64_t memory_of_control_group() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  std::uint64_t bytes = 0;
  return file >> bytes ? bytes : 0;
}

template <class Number>
Number smaller_known(Number a, Number b) {  // 0: not known
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

double measure_gflops(Ops& ops, Clock& clock) {
  std::vector<float> x(kSide * kSide, 0.5f), w(kSide * kSide, 0.25f), y(kSide * kSide);
  const Shape shape{kSide, kSide};
  const auto product = [&] {
    ops.linear(tensor_of(x, shape), tensor_of(w, shape), {}, tensor_of(y, shape));
  };
  product();  // the first one builds the kernel
  const Instant begin = clock.now();
  Duration elapsed{};
  double products = 0;
  do {
    product();
    ++products;
    elapsed = clock.now() - begin;
  } while (elapsed < kMeasure);
  return products * 2.0 * kSide * kSide * kSide / seconds(elapsed) * 1e-9;
}

}  // namespace

Capability measure_capability(Ops& ops, Clock& clock, MachineLimits limits) {
  Capability capability;
  capability.device = name_of(Device::kCpu);
  capability.cores = smaller_known(cores_allowed(), limits.cores);
  capability.memory_bytes = smaller_known(
      smaller_known(memory_of_machine(), memory_of_control_group()), limits.memory_bytes);
  capability.gflops = measure_gflops(ops, clock);
  return capability;
}

bool has_aes_instructions() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0;
#elif defined(__ARM_FEATURE_AES)
  return true;
#else
  return false;
#endif
}

}  // namespace covey
