#include "privacy/ring_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/crypto/kdf.h"
#include "core/spec/setting.h"
#include "privacy/ring_encoder_kernels.h"

namespace covey {
namespace ring_encoder {

Usable usable_kernels() {
#ifdef COVEY_X86_KERNELS
  return usable_of(&avx512_kernels(), &avx2_kernels(), generic_kernels());
#else
  return usable_of<Kernels>(nullptr, nullptr, generic_kernels());
#endif
}

}  // namespace ring_encoder

namespace {

constexpr std::size_t kBlockWords = 1024;  // encoded and packed while they are in the first-level cache
constexpr std::size_t kLanesMax = 4;       // of a ring of 16 bits or more
constexpr unsigned kEncodedWidthMin = 16;

const ring_encoder::Kernels& kernels() {
  static const ring_encoder::Kernels& best = *ring_encoder::usable_kernels().sets[0];
  return best;
}

// Of a member's integers in a ring of this width: no sum of members_max of them wraps.
std::uint64_t bound_of(unsigned width, std::uint32_t members_max) {
  return ((std::uint64_t{1} << (width - 1)) - 1) / members_max;
}

// The largest S = 2^shift with R S + 1 <= B, of a span at most kEncodedSpanMax.
int shift_for(double range, std::uint64_t bound) {
  const double span = std::min(static_cast<double>(bound) - 1, kEncodedSpanMax);
  int shift = std::ilogb(span / range);
  while (std::ldexp(range, shift) > span) --shift;
  while (std::ldexp(range, shift + 1) <= span) ++shift;
  return shift;
}

template <unsigned lanes>
void pack_block(std::span<const std::int64_t> values, unsigned width, std::span<std::uint64_t> words) {
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint64_t word = 0;
    for (unsigned lane = 0; lane < lanes; ++lane)
      word |= (static_cast<std::uint64_t>(values[i * lanes + lane]) & mask) << (lane * width);
    words[i] = word;
  }
}

// `values` holds whole words; what is beyond the vector's end is zero.
void pack_into(std::span<const std::int64_t> values, const Ring& ring, std::span<std::uint64_t> words) {
  switch (ring.lanes()) {
    case 1: return pack_block<1>(values, ring.width(), words);
    case 2: return pack_block<2>(values, ring.width(), words);
    case 3: return pack_block<3>(values, ring.width(), words);
    case 4: return pack_block<4>(values, ring.width(), words);
    default: COVEY_CHECK(!"a ring of less than 16 bits");
  }
}

Secret<32> rounding_key(const RoundingSeed& seed) {
  ByteWriter context;
  context.u64(seed.job_seed).u64(seed.key.job).u32(seed.key.round).u32(seed.key.attempt).fixed(seed.client);
  return derive(Secret<32>(), "covey stochastic rounding v1", context.bytes());
}

Unexpected not_finite(std::span<const float> x, std::uint64_t first) {
  const auto bad = std::find_if(x.begin(), x.end(), [](float v) { return !std::isfinite(v); });
  COVEY_CHECK(bad != x.end());
  return unexpected(ErrorCode::kInvalidUpdate,
                    "element " + std::to_string(first + static_cast<std::uint64_t>(bad - x.begin())) + " is " +
                        (std::isnan(*bad) ? "NaN" : "infinite") +
                        "; local training diverged, lower train.learning_rate or set train.clip_norm");
}

}  // namespace

EncodingTerms encoding_terms(const JobSpec& job) {
  return {secure_range(job), job.privacy.ring_bits, job.privacy.examples_max};
}

Result<RingEncoding> ring_encoding(const EncodingTerms& terms, std::uint32_t members_max) {
  if (!(terms.range > 0) || !std::isfinite(terms.range) || terms.examples_max == 0 || members_max == 0 ||
      terms.ring_bits < kEncodedWidthMin || terms.ring_bits > kRingWidthMax)
    return unexpected(ErrorCode::kInvalidArgument,
                      "an encoding of range " + setting_text(terms.range) + " in " + std::to_string(terms.ring_bits) +
                          " bits for " + std::to_string(members_max) + " members: the range must be positive, the bits " +
                          std::to_string(kEncodedWidthMin) + " to " + std::to_string(kRingWidthMax) +
                          ", members and examples at least 1");
  const auto span_in = [&](unsigned width) {
    const std::uint64_t bound = bound_of(width, members_max);
    return bound < 2 ? 0.0 : std::ldexp(terms.range, shift_for(terms.range, bound));
  };
  if (span_in(terms.ring_bits) < kEncodedSpanMin) {
    unsigned enough = terms.ring_bits;
    while (enough < kRingWidthMax && span_in(enough) < kEncodedSpanMin) ++enough;
    return unexpected(ErrorCode::kInvalidArgument,
                      "privacy.ring_bits = " + std::to_string(terms.ring_bits) + " leaves less than 256 steps of a range of " +
                          setting_text(terms.range) + " for " + std::to_string(members_max) + " members; set it to " +
                          std::to_string(enough) + ", or ask fewer members");
  }
  const std::uint64_t bound = bound_of(terms.ring_bits, members_max);
  return RingEncoding{terms.ring_bits, terms.range, shift_for(terms.range, bound), bound, terms.examples_max};
}

UpdateEncoder::UpdateEncoder(const RingEncoding& encoding, std::uint64_t examples, const RoundingSeed& seed)
    : encoding_(encoding), ring_(*Ring::of_width(encoding.width)), rounding_(rounding_key(seed)) {
  COVEY_CHECK(encoding.width >= kEncodedWidthMin && encoding.examples_max >= 1);
  const std::uint64_t counted = std::clamp<std::uint64_t>(examples, 1, encoding.examples_max);
  factor_ = std::ldexp(static_cast<double>(counted) / static_cast<double>(encoding.examples_max), encoding.shift);
}

Result<std::uint64_t> UpdateEncoder::encode(std::span<const float> x, std::uint64_t first,
                                            std::span<std::uint64_t> words) const {
  const std::size_t lanes = ring_.lanes();
  COVEY_CHECK(first % lanes == 0 && words.size() == ring_.words(x.size()));
  Prg stream(rounding_);  // AES-256 everywhere: the bits must not depend on the machine
  if (first != 0) stream.seek(first * sizeof(std::int32_t));
  std::array<std::int32_t, kBlockWords * kLanesMax> chance;
  std::array<std::int64_t, kBlockWords * kLanesMax> values;
  std::uint64_t clamped = 0;
  for (std::size_t at = 0; at < x.size();) {
    const std::size_t count = std::min(kBlockWords * lanes, x.size() - at);
    const std::span<const float> block = x.subspan(at, count);
    stream.fill({reinterpret_cast<std::uint8_t*>(chance.data()), count * sizeof(std::int32_t)});
    const auto done = kernels().encode(block.data(), chance.data(), count, {encoding_.range, factor_}, values.data());
    if (!done.finite) return not_finite(block, first + at);
    clamped += done.clamped;
    const std::size_t filled = static_cast<std::size_t>(ring_.words(count));
    std::fill(values.begin() + static_cast<std::ptrdiff_t>(count),
              values.begin() + static_cast<std::ptrdiff_t>(filled * lanes), 0);
    pack_into(std::span(values).first(filled * lanes), ring_, words.subspan(at / lanes, filled));
    at += count;
  }
  return clamped;
}

void decode_mean(std::span<const std::uint64_t> words, const RingEncoding& encoding, std::uint64_t examples,
                 std::span<double> mean) {
  const Ring ring = *Ring::of_width(encoding.width);
  COVEY_CHECK(words.size() == ring.words(mean.size()) && examples >= 1);
  const double unit = std::ldexp(static_cast<double>(encoding.examples_max) / static_cast<double>(examples), -encoding.shift);
  const std::uint64_t half = std::uint64_t{1} << (ring.width() - 1);
  const std::size_t lanes = ring.lanes();
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const std::uint64_t residue = (words[i / lanes] >> (i % lanes * ring.width())) & ring.lane_mask();
    mean[i] = static_cast<double>(static_cast<std::int64_t>((residue ^ half) - half)) * unit;
  }
}

Result<std::vector<std::uint64_t>> encode_figures(const MemberFigures& f, std::uint64_t examples_max,
                                                  std::uint32_t members_max) {
  const std::uint64_t bound = bound_of(kFiguresWidth, members_max);
  const auto count = [&](std::uint64_t value) { return static_cast<std::int64_t>(std::min(value, bound)); };
  const auto loss = [&](double nats) {
    const double most = std::ldexp(static_cast<double>(bound), -kLossShift - 1);  // half: exact in f64, whatever the bound
    return static_cast<std::int64_t>(std::nearbyint(std::ldexp(std::clamp(nats, -most, most), kLossShift)));
  };
  if (!std::isfinite(f.train.loss_sum) || !std::isfinite(f.evaluation.loss_sum))
    return unexpected(ErrorCode::kInvalidUpdate, "a loss is not finite; lower train.learning_rate or set train.clip_norm");
  const std::array<std::int64_t, kFigures> values{
      count(std::clamp<std::uint64_t>(f.examples, 1, examples_max)),
      count(f.train.targets),
      loss(f.train.loss_sum),
      loss(f.evaluation.loss_sum),
      count(f.evaluation.targets),
      count(f.evaluation.correct),
      count(f.clamped)};
  return pack(values, *Ring::of_width(kFiguresWidth));
}

Result<MemberFigures> decode_figures(std::span<const std::uint64_t> words, const SummedMembers& of) {
  const std::vector<std::int64_t> v = unpack(words, kFigures, *Ring::of_width(kFiguresWidth));
  for (const std::size_t i : {0, 1, 4, 5, 6})
    if (v[i] < 0)
      return unexpected(ErrorCode::kInvalidMessage,
                        "figure " + std::to_string(i) + " of the sum is " + std::to_string(v[i]) + ": a member sent what nobody can have counted");
  const auto examples = static_cast<std::uint64_t>(v[0]);
  if (examples < of.members || examples > of.members * of.examples_max)
    return unexpected(ErrorCode::kInvalidMessage, "the sum counts " + std::to_string(v[0]) + " examples of " +
                                                      std::to_string(of.members) + " members, and each has 1 to " +
                                                      std::to_string(of.examples_max));
  const auto count = [&](std::size_t i) { return static_cast<std::uint64_t>(v[i]); };
  const auto loss = [&](std::size_t i) { return std::ldexp(static_cast<double>(v[i]), -kLossShift); };
  MemberFigures sum;
  sum.examples = count(0);
  sum.train.targets = count(1);
  sum.train.loss_sum = loss(2);
  sum.evaluation = {loss(3), count(4), count(5)};
  sum.clamped = count(6);
  return sum;
}

Result<std::vector<VectorSpec>> secure_vectors(const JobSpec& job, RoundKind kind, std::uint64_t parameters,
                                               std::uint32_t members_max) {
  COVEY_TRY(const RingEncoding encoding, ring_encoding(encoding_terms(job), members_max));
  std::vector<VectorSpec> vectors;
  if (kind == RoundKind::kTrain) vectors.push_back({std::string(kUpdateVector), encoding.width, parameters});
  vectors.push_back({std::string(kFiguresVector), kFiguresWidth, kFigures});
  return vectors;
}

std::uint64_t masked_bytes(const std::vector<VectorSpec>& vectors) {
  std::uint64_t words = 0;
  for (const VectorSpec& v : vectors) words += Ring::of_width(v.width)->words(v.values);
  return words * sizeof(std::uint64_t);
}

}  // namespace covey
