#include "privacy/ring_encoder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "core/protocol/quota.h"
#include "core/spec/parameter_table.h"
#include "privacy/ring_encoder_kernels.h"

using namespace covey;

namespace {

constexpr RoundingSeed kSeed{7, {1, 2, 3}, PeerKey{{9}}};

std::vector<float> some_update(std::size_t count, double scale = 1, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(random.normal() * scale);
  return x;
}
std::vector<std::uint64_t> encoded(const UpdateEncoder& encoder, const RingEncoding& e, std::span<const float> x) {
  std::vector<std::uint64_t> words(Ring::of_width(e.width)->words(x.size()));
  REQUIRE(encoder.encode(x, 0, words).has_value());
  return words;
}
RoundingSeed of_client(std::uint8_t client) {
  RoundingSeed seed = kSeed;
  seed.client = PeerKey{{client}};
  return seed;
}

}  // namespace

TEST_CASE("ring encoder: no sum of members_max members can wrap, and S is the largest that allows it") {
  for (const unsigned bits : {20U, 24U, 32U, 40U, 62U})
    for (const double range : {0.013, 1.0, 4.0, 64.0})
      for (const std::uint32_t members : {1U, 4U, 77U, 1000U}) {
        const auto made = ring_encoding({range, bits, 65536}, members);
        if (!made) continue;  // its own test below
        const RingEncoding& e = *made;
        CAPTURE(bits);
        CAPTURE(range);
        CAPTURE(members);
        const double span = std::ldexp(range, e.shift);
        CHECK(e.bound * members <= (std::uint64_t{1} << (bits - 1)) - 1);
        CHECK(span + 1 <= static_cast<double>(e.bound));
        CHECK((2 * span + 1 > static_cast<double>(e.bound) || 2 * span > kEncodedSpanMax));
        // The extremes, with every rounding there is, stay within the bound.
        const std::vector<float> x{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                                   static_cast<float>(range), -static_cast<float>(range)};
        for (std::uint8_t client = 0; client < 32; ++client) {
          const UpdateEncoder encoder(e, 1'000'000, of_client(client));
          for (const std::int64_t y : unpack(encoded(encoder, e, x), x.size(), *Ring::of_width(bits)))
            CHECK(static_cast<std::uint64_t>(std::abs(y)) <= e.bound);
        }
      }
}

TEST_CASE("ring encoder: a job's scale is the one that its validation reckons with") {
  for (const std::uint32_t bits : {20U, 24U, 32U, 40U})
    for (const double range : {0.25, 1.0, 3.7, 4.0, 64.0})
      for (const std::uint32_t members : {4U, 10U, 1000U}) {
        const auto e = ring_encoding({range, bits, 65536}, members);
        const double scale = secure_scale(range, bits, members);
        CHECK(e.has_value() == (range * scale >= kSecureStepsMin));
        if (e) CHECK(std::ldexp(1.0, e->shift) == scale);
      }
}

TEST_CASE("ring encoder: too coarse an encoding is refused with the bits that would do") {
  const auto refused = ring_encoding({4, 16, 65536}, 1000);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  const std::size_t at = refused.error().message.find("set it to ");
  REQUIRE(at != std::string::npos);
  const auto enough = static_cast<unsigned>(std::stoul(refused.error().message.substr(at + 10)));
  CHECK(ring_encoding({4, enough, 65536}, 1000).has_value());
  CHECK_FALSE(ring_encoding({4, enough - 1, 65536}, 1000).has_value());
  for (const EncodingTerms& terms : {EncodingTerms{0, 32, 1}, EncodingTerms{-1, 32, 1}, EncodingTerms{NAN, 32, 1},
                                     EncodingTerms{INFINITY, 32, 1}, EncodingTerms{4, 15, 1}, EncodingTerms{4, 63, 1},
                                     EncodingTerms{4, 32, 0}})
    CHECK_FALSE(ring_encoding(terms, 4).has_value());
  CHECK_FALSE(ring_encoding({}, 0).has_value());
}

TEST_CASE("ring encoder: every instruction set gives the same bits") {
  Random random(5);
  std::vector<float> x = some_update(1003, 3);
  x[17] = -0.0F, x[18] = 1e-40F, x[19] = 4, x[20] = -4, x[21] = 1e30F;
  std::vector<std::int32_t> chance(x.size());
  for (std::int32_t& c : chance) c = static_cast<std::int32_t>(random.next());
  chance[0] = std::numeric_limits<std::int32_t>::min(), chance[1] = std::numeric_limits<std::int32_t>::max();
  const auto usable = ring_encoder::usable_kernels();
  for (const double factor : {0.37, 1048576.0, 0.1 * 268435456.0, 274877906944.0}) {
    std::vector<std::int64_t> expected(x.size());
    const auto counted = usable.sets[usable.count - 1]->encode(x.data(), chance.data(), x.size(), {4, factor}, expected.data());
    CHECK(counted.finite);
    CHECK(counted.clamped == static_cast<std::uint64_t>(std::count_if(x.begin(), x.end(), [](float v) { return std::abs(v) > 4; })));
    for (std::size_t set = 0; set < usable.count; ++set) {
      CAPTURE(usable.sets[set]->name);
      std::vector<std::int64_t> out(x.size());
      const auto same = usable.sets[set]->encode(x.data(), chance.data(), x.size(), {4, factor}, out.data());
      CHECK(out == expected);
      CHECK(same.clamped == counted.clamped);
      std::vector<float> bad = x;
      for (const std::size_t at : {std::size_t{3}, std::size_t{1001}})
        for (const float value : {NAN, INFINITY, -INFINITY}) {
          bad = x;
          bad[at] = value;
          CHECK_FALSE(usable.sets[set]->encode(bad.data(), chance.data(), x.size(), {4, factor}, out.data()).finite);
        }
    }
  }
}

TEST_CASE("ring encoder: the same words however the update is cut, in any ring") {
  for (const unsigned bits : {16U, 20U, 31U, 32U, 33U, 62U}) {
    const auto e = ring_encoding({4, bits, 100}, 4);
    REQUIRE(e.has_value());
    const Ring ring = *Ring::of_width(bits);
    const std::vector<float> x = some_update(10'007);
    const UpdateEncoder encoder(*e, 60, kSeed);
    const std::vector<std::uint64_t> whole = encoded(encoder, *e, x);
    CHECK(check_packed(whole, x.size(), ring).has_value());
    std::vector<std::uint64_t> cut(whole.size());
    std::uint64_t clamped = 0;
    const std::size_t piece = 12 * 77;  // a multiple of 1, 2, 3 and 4 lanes
    for (std::size_t at = 0; at < x.size(); at += piece) {
      const auto part = std::span(x).subspan(at, std::min(piece, x.size() - at));
      clamped += *encoder.encode(part, at, std::span(cut).subspan(at / ring.lanes(), ring.words(part.size())));
    }
    CHECK(cut == whole);
    CHECK(clamped == static_cast<std::uint64_t>(std::count_if(x.begin(), x.end(), [](float v) { return std::abs(v) > 4; })));
  }
}

TEST_CASE("ring encoder: rounding follows job, round, attempt and client, and has no bias") {
  const RingEncoding e = *ring_encoding({4, 20, 65536}, 4);
  const std::vector<float> x(40'000, 0.000123F);
  const double exact = static_cast<double>(x[0]) * std::ldexp(1.0, e.shift);
  const auto mean_with = [&](const RoundingSeed& seed) {
    double sum = 0;
    for (const std::int64_t y : unpack(encoded(UpdateEncoder(e, 65536, seed), e, x), x.size(), *Ring::of_width(20))) {
      CHECK(std::abs(static_cast<double>(y) - exact) < 1);
      sum += static_cast<double>(y);
    }
    return sum / static_cast<double>(x.size());
  };
  const double deviation = std::sqrt((exact - std::floor(exact)) * (std::ceil(exact) - exact) / 40'000);
  REQUIRE(deviation > 0);
  CHECK(std::abs(mean_with(kSeed) - exact) < 5 * deviation);
  const auto words = [&](const RoundingSeed& seed) { return encoded(UpdateEncoder(e, 65536, seed), e, x); };
  CHECK(words(kSeed) == words(kSeed));
  for (const RoundingSeed& other : {RoundingSeed{8, {1, 2, 3}, PeerKey{{9}}}, RoundingSeed{7, {2, 2, 3}, PeerKey{{9}}},
                                    RoundingSeed{7, {1, 3, 3}, PeerKey{{9}}}, RoundingSeed{7, {1, 2, 4}, PeerKey{{9}}},
                                    RoundingSeed{7, {1, 2, 3}, PeerKey{{8}}}})
    CHECK(words(other) != words(kSeed));
}

TEST_CASE("ring encoder: what is exact stays exact") {
  const RingEncoding e = *ring_encoding({4, 32, 64}, 4);
  std::vector<float> x;
  for (int i = -100; i <= 100; ++i) x.push_back(std::ldexp(static_cast<float>(i), -e.shift + 3));
  const std::vector<std::int64_t> y = unpack(encoded(UpdateEncoder(e, 8, kSeed), e, x), x.size(), *Ring::of_width(32));
  for (int i = -100; i <= 100; ++i) CHECK(y[static_cast<std::size_t>(i + 100)] == i);  // u = 1/8
}

TEST_CASE("ring encoder: the mean of the sum is the weighted mean") {
  const RingEncoding e = *ring_encoding({4, 32, 1000}, 5);
  const Ring ring = *Ring::of_width(32);
  const std::vector<std::uint64_t> examples{3, 500, 1000, 70'000, 1};  // the fourth counts as 1000
  const std::size_t count = 5001;
  std::vector<std::uint64_t> sum(ring.words(count));
  std::vector<double> expected(count);
  std::uint64_t total = 0;
  for (std::uint8_t i = 0; i < 5; ++i) {
    const std::vector<float> x = some_update(count, 0.1, i);
    combine(sum, encoded(UpdateEncoder(e, examples[i], of_client(i)), e, x), Sign::kPlus, ring);
    const std::uint64_t weight = std::min<std::uint64_t>(examples[i], 1000);
    total += weight;
    for (std::size_t k = 0; k < count; ++k) expected[k] += static_cast<double>(x[k]) * static_cast<double>(weight);
  }
  std::vector<double> mean(count);
  decode_mean(sum, e, total, mean);
  const double step = std::ldexp(1000.0 / static_cast<double>(total), -e.shift);
  for (std::size_t k = 0; k < count; ++k) CHECK(std::abs(mean[k] - expected[k] / static_cast<double>(total)) <= 5 * step);
}

TEST_CASE("ring encoder: what is not finite is refused by its place") {
  const RingEncoding e = *ring_encoding({}, 4);
  std::vector<float> x = some_update(9000);
  std::vector<std::uint64_t> words(4500);
  const UpdateEncoder encoder(e, 1, kSeed);
  x[8191] = NAN;
  const auto refused = encoder.encode(x, 10'000, words);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
  CHECK(refused.error().message.find("element 18191 is NaN") != std::string::npos);
}

TEST_CASE("ring encoder: figures sum up, are cut to what cannot wrap, and impossible sums are refused") {
  const MemberFigures one{70'000, {123.25, 55, 3, 1.5}, {2.5, 40, 31}, 17};
  const auto words = encode_figures(one, 65536, 100);
  REQUIRE(words.has_value());
  CHECK(words->size() == kFigures);
  const Ring ring = *Ring::of_width(kFiguresWidth);
  std::vector<std::uint64_t> sum(kFigures);
  for (int i = 0; i < 3; ++i) combine(sum, *words, Sign::kPlus, ring);
  const auto three = decode_figures(sum, {3, 65536});
  REQUIRE(three.has_value());
  CHECK(three->examples == 3 * 65536);
  CHECK(three->train == TrainStats{369.75, 165, 0, 0});
  CHECK(three->evaluation == EvalStats{7.5, 120, 93});
  CHECK(three->clamped == 51);

  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const MemberFigures huge{most, {1e300, most, 0, 0}, {-1e300, most, most}, most};
  const auto extreme = encode_figures(huge, most, 65536);
  REQUIRE(extreme.has_value());
  for (const std::int64_t v : unpack(*extreme, kFigures, ring)) CHECK(std::abs(v) <= ((std::int64_t{1} << 61) - 1) / 65536);

  MemberFigures diverged = one;
  diverged.train.loss_sum = NAN;
  CHECK(encode_figures(diverged, 1, 1).error().code == ErrorCode::kInvalidUpdate);
  CHECK(decode_figures(*encode_figures({}, 65536, 4), {1, 65536})->examples == 1);  // nobody weighs nothing
  CHECK(decode_figures(*words, {65537, 65536}).error().code == ErrorCode::kInvalidMessage);
  CHECK(decode_figures(*words, {1, 65535}).error().message.find("each has 1 to 65535") != std::string::npos);
  const auto with = [&](std::size_t place, std::int64_t value) {
    std::vector<std::int64_t> values = unpack(*words, kFigures, ring);
    values[place] = value;
    return decode_figures(pack(values, ring), {1, 65536});
  };
  for (const std::size_t place : {0, 1, 4, 5, 6}) CHECK(with(place, -1).error().code == ErrorCode::kInvalidMessage);
  for (const std::size_t place : {2, 3}) CHECK(with(place, -1).has_value());
}

TEST_CASE("ring encoder: the vectors of a round") {
  JobSpec job;
  const auto train = secure_vectors(job, RoundKind::kTrain, 1001, 10);
  REQUIRE(train.has_value());
  CHECK(*train == std::vector<VectorSpec>{{"update", 32, 1001}, {"figures", 62, 7}});
  CHECK(masked_bytes(*train) == 501 * 8 + 7 * 8);
  for (const std::uint32_t bits : {32U, 48U}) {  // what the quota reckons with is what travels
    job.privacy.secure_aggregation = true;
    job.privacy.ring_bits = bits;
    const auto of_model = secure_vectors(job, RoundKind::kTrain, parameter_table(job.model).size, 10);
    CHECK(masked_bytes(*of_model) == update_bytes_of(job));
  }
  job.privacy.ring_bits = 32;
  CHECK(*secure_vectors(job, RoundKind::kEvaluate, 1001, 10) == std::vector<VectorSpec>{{"figures", 62, 7}});
  job.update.clip_norm = 0.5;
  CHECK(encoding_terms(job).range == 0.5);
  job.privacy.ring_bits = 16;
  CHECK_FALSE(secure_vectors(job, RoundKind::kTrain, 1001, 1000).has_value());
}
