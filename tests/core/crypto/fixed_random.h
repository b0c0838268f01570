// "Randomness" that a test knows: 0, 1, 2 ... Only here, never in the product.
#pragma once
#include "core/base/secure_random.h"

namespace covey {

class CountingRandom final : public SecureRandom {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

}  // namespace covey
