// What the tests of secure aggregation share: chance that repeats.
#pragma once
#include "core/base/random.h"
#include "core/base/secure_random.h"

namespace covey {

// Keys in tests come from a seed, so that a failure repeats.
class SeededBytes final : public SecureRandom {
 public:
  explicit SeededBytes(std::uint64_t seed) : random_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& byte : out) byte = static_cast<std::uint8_t>(random_.next() >> 32);
  }

 private:
  Random random_;
};

}  // namespace covey
