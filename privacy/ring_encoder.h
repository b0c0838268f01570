// An update as integers of the ring, and the mean of many out of their sum. Client and coordinator agree
// on everything here from the job's settings and the bound on the members alone.
//
// Element x of a member with e examples becomes y = round(clamp(x, +-R) * u * S), where u = min(e, e_max) /
// e_max and S is a power of two. Rounding is stochastic: up with the chance of the fraction, so that the sum
// has no bias. |y| <= R S + 1 <= B and members_max * B <= 2^(b-1) - 1: no sum of any members wraps.
// The mean is sum / S * e_max / (sum of the members' min(e, e_max)), weighted by examples as without masks.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"
#include "core/protocol/quota.h"
#include "privacy/masking.h"

namespace covey {

// A finer step than the range divided by this gains nothing: f32 holds no more, and products stay exact
// enough in f64 for rounding to have no bias.
inline constexpr double kEncodedSpanMax = 1099511627776.0;  // 2^40
// Coarser than this is refused: 256 steps of the range.
inline constexpr double kEncodedSpanMin = 256;

struct EncodingTerms {
  double range = 4;                    // R > 0
  unsigned ring_bits = 32;             // b
  std::uint64_t examples_max = 65536;  // e_max >= 1
};

// What a job says: R is the least of privacy.value_range and update.clip_norm.
EncodingTerms encoding_terms(const JobSpec& job);

struct RingEncoding {
  unsigned width = 0;               // b
  double range = 0;                 // R
  int shift = 0;                    // S = 2^shift
  std::uint64_t bound = 0;          // B
  std::uint64_t examples_max = 0;   // e_max
  bool operator==(const RingEncoding&) const = default;
};
// Errors: kInvalidArgument, with the ring_bits that would do.
Result<RingEncoding> ring_encoding(const EncodingTerms& terms, std::uint32_t members_max);

// Whose update of which attempt: the rounding of its elements follows from this.
struct RoundingSeed {
  std::uint64_t job_seed = 0;
  RoundKey key;
  PeerKey client;
};

// One member's encoder. Holds nothing of the update, and may be used on many threads at once.
class UpdateEncoder {
 public:
  UpdateEncoder(const RingEncoding& encoding, std::uint64_t examples, const RoundingSeed& seed);

  // Elements `first` to first + x.size() of an update into the words that hold them; `first` is a multiple
  // of the ring's lanes. The same bits however the update is cut. Gives how many elements were clamped.
  // Errors: kInvalidUpdate, naming the first element that is NaN or infinite.
  Result<std::uint64_t> encode(std::span<const float> x, std::uint64_t first, std::span<std::uint64_t> words) const;

 private:
  RingEncoding encoding_;
  Ring ring_;
  double factor_ = 0;  // u * S
  Secret<32> rounding_;
};

// mean[i] = (integer i of `words`) / S * e_max / examples; words of `mean.size()` values in the encoding's
// ring, unmasked. `examples` >= 1 is the sum of the members' figures.
void decode_mean(std::span<const std::uint64_t> words, const RingEncoding& encoding, std::uint64_t examples,
                 std::span<double> mean);

// ---- figures: what a member measured, in a vector of its own
inline constexpr unsigned kFiguresWidth = 62;
inline constexpr std::uint64_t kFigures = kSecureFigures;
inline constexpr int kLossShift = 20;  // losses are counted in 2^-20 nats

struct MemberFigures {
  std::uint64_t examples = 0;
  TrainStats train;        // steps and seconds do not travel
  EvalStats evaluation;
  std::uint64_t clamped = 0;
};
// In the ring of kFiguresWidth, kFigures words. Each is cut to what cannot wrap among `members_max`.
// Errors: kInvalidUpdate where a loss is not finite.
Result<std::vector<std::uint64_t>> encode_figures(const MemberFigures& figures, std::uint64_t examples_max,
                                                  std::uint32_t members_max);
// Whose figures were summed.
struct SummedMembers {
  std::uint32_t members = 0;
  std::uint64_t examples_max = 0;  // of one
};
// Of the sum over them. Errors: kInvalidMessage where no such members can have sent what was summed: a count is
// negative, or there are fewer examples than members, or more than they can have.
Result<MemberFigures> decode_figures(std::span<const std::uint64_t> words, const SummedMembers& of);

// ---- which vectors a round of a job sums
inline constexpr std::string_view kUpdateVector = "update";
inline constexpr std::string_view kFiguresVector = "figures";
// A train round: the update and the figures. An evaluation: the figures. Errors: those of ring_encoding.
Result<std::vector<VectorSpec>> secure_vectors(const JobSpec& job, RoundKind kind, std::uint64_t parameters,
                                               std::uint32_t members_max);
// Bytes of the masked blob: the vectors' words in order, 8 bytes each, little-endian.
std::uint64_t masked_bytes(const std::vector<VectorSpec>& vectors);

}  // namespace covey
