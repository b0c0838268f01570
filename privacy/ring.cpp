#include "privacy/ring.h"

#include <string>

#include "core/base/check.h"

namespace covey {

Ring::Ring(unsigned width) : width_(width) {
  for (unsigned lane = 0; lane < lanes(); ++lane) {
    used_ |= lane_mask() << (lane * width);
    top_ |= std::uint64_t{1} << (lane * width + width - 1);
  }
}

Result<Ring> Ring::of_width(unsigned width) {
  if (width < kRingWidthMin || width > kRingWidthMax)
    return unexpected(ErrorCode::kInvalidArgument, "a ring of " + std::to_string(width) + " bits: give " +
                                                       std::to_string(kRingWidthMin) + " to " +
                                                       std::to_string(kRingWidthMax));
  return Ring(width);
}

Result<Ring> Ring::for_sum(std::uint32_t members, std::uint64_t magnitude_max) {
  const std::uint64_t reach = (std::uint64_t{1} << (kRingWidthMax - 1)) - 1;
  if (members == 0 || magnitude_max > reach / members)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the sum of " + std::to_string(members) + " numbers up to " + std::to_string(magnitude_max) +
                          " does not fit " + std::to_string(kRingWidthMax) + " bits: quantise more coarsely");
  unsigned width = kRingWidthMin;
  while (((std::uint64_t{1} << (width - 1)) - 1) < members * magnitude_max) ++width;
  return Ring(std::min(64 / (64 / width), kRingWidthMax));
}

Result<void> check_ring_holds(unsigned width, std::uint32_t members, unsigned value_bits) {
  COVEY_TRY(const Ring ring, Ring::of_width(width));
  if (value_bits > width || members == 0 || ((std::uint64_t{1} << value_bits) - 1) > ring.lane_mask() / members) {
    unsigned enough = value_bits;
    while (enough < 64 && ((std::uint64_t{1} << enough) / members) < (std::uint64_t{1} << value_bits)) ++enough;
    return unexpected(ErrorCode::kInvalidArgument, "sums of " + std::to_string(members) + " values of " +
                                                       std::to_string(value_bits) + " bits wrap in " +
                                                       std::to_string(width) + " bits; " + std::to_string(enough) +
                                                       " are enough");
  }
  return {};
}

std::vector<std::uint64_t> pack(std::span<const std::int64_t> values, const Ring& ring) {
  std::vector<std::uint64_t> words(ring.words(values.size()));
  const std::size_t lanes = ring.lanes();
  std::size_t i = 0;
  for (std::uint64_t& word : words)
    for (unsigned lane = 0; lane < lanes && i < values.size(); ++lane, ++i)
      word |= (static_cast<std::uint64_t>(values[i]) & ring.lane_mask()) << (lane * ring.width());
  return words;
}

std::vector<std::int64_t> unpack(std::span<const std::uint64_t> words, std::uint64_t values, const Ring& ring) {
  COVEY_CHECK(words.size() == ring.words(values));
  std::vector<std::int64_t> result(values);
  const std::uint64_t half = std::uint64_t{1} << (ring.width() - 1);
  std::size_t i = 0;
  for (const std::uint64_t word : words)
    for (unsigned lane = 0; lane < ring.lanes() && i < values; ++lane, ++i) {
      const std::uint64_t residue = (word >> (lane * ring.width())) & ring.lane_mask();
      result[i] = static_cast<std::int64_t>((residue ^ half) - half);  // carries the sign upwards
    }
  return result;
}

Result<void> check_packed(std::span<const std::uint64_t> words, std::uint64_t values, const Ring& ring) {
  if (words.size() != ring.words(values))
    return unexpected(ErrorCode::kInvalidMessage, std::to_string(words.size()) + " words hold no vector of " +
                                                      std::to_string(values) + " values; " +
                                                      std::to_string(ring.words(values)) + " would");
  std::uint64_t stray = 0;
  for (const std::uint64_t word : words) stray |= word & ~ring.used_bits();
  if (const auto last = static_cast<unsigned>(values % ring.lanes()); last != 0)
    stray |= words.back() >> (last * ring.width());
  if (stray != 0) return unexpected(ErrorCode::kInvalidMessage, "a packed vector has bits outside its lanes");
  return {};
}

}  // namespace covey
