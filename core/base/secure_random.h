// The system's CSPRNG: keys, masks, tokens, privacy noise. Never seeded.
#pragma once
#include <cstdint>
#include <span>

namespace covey {

class SecureRandom {
 public:
  virtual ~SecureRandom() = default;
  virtual void fill(std::span<std::uint8_t> out) = 0;
};

// getrandom(2). Failure is fatal: there is no second-best source.
class SystemRandom final : public SecureRandom {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace covey
