// The ring of the masked sums: vectors over the integers modulo 2^b, packed floor(64 / b) lanes to a
// 64-bit word, lane 0 in the lowest bits, unused bits zero, words little-endian on the wire.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/result.h"

namespace covey {

inline constexpr unsigned kRingWidthMin = 2;
inline constexpr unsigned kRingWidthMax = 62;
inline constexpr std::uint64_t kRingValuesMax = std::uint64_t{1} << 36;

class Ring {
 public:
  // Errors: kInvalidArgument unless kRingWidthMin <= width <= kRingWidthMax.
  static Result<Ring> of_width(unsigned width);
  // The narrowest ring in which the sum of `members` numbers of magnitude at most `magnitude_max` does
  // not wrap: 2^b >= 2 n B + 1. Widened as far as costs no space. Errors: kInvalidArgument.
  static Result<Ring> for_sum(std::uint32_t members, std::uint64_t magnitude_max);

  unsigned width() const { return width_; }
  unsigned lanes() const { return 64 / width_; }
  std::uint64_t words(std::uint64_t values) const { return (values + lanes() - 1) / lanes(); }
  std::uint64_t lane_mask() const { return (std::uint64_t{1} << width_) - 1; }
  std::uint64_t used_bits() const { return used_; }  // of a word
  std::uint64_t top_bits() const { return top_; }    // each lane's highest
  bool operator==(const Ring&) const = default;

 private:
  explicit Ring(unsigned width);
  unsigned width_ = 0;
  std::uint64_t used_ = 0;
  std::uint64_t top_ = 0;
};

// Sums of n numbers of v bits each, 0 to 2^v - 1, fit b bits: 2^b >= n (2^v - 1) + 1.
// Errors: kInvalidArgument with the width that would do.
Result<void> check_ring_holds(unsigned width, std::uint32_t members, unsigned value_bits);

// Values modulo 2^b, into ring.words(values.size()) words.
std::vector<std::uint64_t> pack(std::span<const std::int64_t> values, const Ring& ring);
// The representatives in [-2^(b-1), 2^(b-1)).
std::vector<std::int64_t> unpack(std::span<const std::uint64_t> words, std::uint64_t values, const Ring& ring);
// No bit is set outside the lanes, nor in lanes beyond `values`. Errors: kInvalidMessage.
Result<void> check_packed(std::span<const std::uint64_t> words, std::uint64_t values, const Ring& ring);

enum class Sign : std::uint8_t { kPlus, kMinus };
// into +- other, lane by lane; bits of `other` outside the lanes do not count. Of the same length.
void combine(std::span<std::uint64_t> into, std::span<const std::uint64_t> other, Sign sign, const Ring& ring);

struct SignedWords {
  std::span<const std::uint64_t> words;
  Sign sign = Sign::kPlus;
};
// into +- one +- two, in one pass.
void combine_two(std::span<std::uint64_t> into, const SignedWords& one, const SignedWords& two, const Ring& ring);

}  // namespace covey
