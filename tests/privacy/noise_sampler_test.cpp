// Integer noise against its laws; seeds are fixed, so a p-value is the same in every run.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "privacy/noise_share.h"
#include "tests/privacy/statistics.h"
#include "tests/privacy/test_bytes.h"

namespace covey {
namespace {

constexpr std::uint64_t kDraws = 1'000'000;

template <class Source>
std::map<std::int64_t, std::uint64_t> counts_of(const Source& source, std::uint64_t seed) {
  SeededBytes random(seed);
  NoiseBits bits(random);
  std::map<std::int64_t, std::uint64_t> counts;
  for (std::uint64_t i = 0; i < kDraws; ++i) ++counts[source.sample(bits)];
  return counts;
}

// Coarse bins see the shape, fine ones whatever is wrong from value to value.
void check_fit(const std::map<std::int64_t, std::uint64_t>& counts, const Law& law) {
  CHECK(fit(counts, law, kDraws, kDraws / 64.0) > kRejectBelow);
  CHECK(fit(counts, law, kDraws, 300) > kRejectBelow);
}

}  // namespace

TEST_CASE("noise: sampler goodness-of-fit, discrete Gaussian, sigma in {1, 4, 614}") {
  for (const double sigma : {1.0, 4.0, 614.0}) {
    CAPTURE(sigma);
    check_fit(counts_of(DiscreteGaussian(*noise_variance(sigma * sigma)), 11), gaussian_law(sigma * sigma));
  }
}

TEST_CASE("noise: sampler goodness-of-fit, Skellam, sigma in {1, 4, 614}") {
  for (const double sigma : {1.0, 4.0, 614.0}) {
    CAPTURE(sigma);
    check_fit(counts_of(*Skellam::of_variance(*noise_variance(sigma * sigma)), 12), skellam_law(sigma * sigma));
  }
}

TEST_CASE("noise: sampler goodness-of-fit sees a variance that is one percent off, and the other law") {
  const auto gaussian = counts_of(DiscreteGaussian(*noise_variance(16)), 13);
  CHECK(fit(gaussian, gaussian_law(16 * 1.01), kDraws, 300) < kRejectBelow);
  CHECK(fit(gaussian, skellam_law(16), kDraws, 300) < kRejectBelow);
  const auto wide = counts_of(DiscreteGaussian(*noise_variance(614 * 614)), 14);
  CHECK(fit(wide, gaussian_law(614 * 614 * 1.01), kDraws, kDraws / 64.0) < kRejectBelow);
}

TEST_CASE("noise: samples of fractional and tiny variances fit too") {
  for (const double variance : {0.05, 0.7, 2.37, 1000.5}) {
    CAPTURE(variance);
    const NoiseVariance v = *noise_variance(variance);
    CHECK(value_of(v) >= variance);
    CHECK(value_of(v) - variance <= 1.0 / 65536);
    check_fit(counts_of(DiscreteGaussian(v), 15), gaussian_law(value_of(v)));
    check_fit(counts_of(*Skellam::of_variance(v), 16), skellam_law(value_of(v)));
  }
}

TEST_CASE("noise: the widest laws have their deviation") {
  SeededBytes random(17);
  NoiseBits bits(random);
  const auto deviation = [&](const auto& source) {
    double sum = 0;
    for (int i = 0; i < 100000; ++i) {
      const auto x = static_cast<double>(source.sample(bits));
      sum += x * x;
    }
    return std::sqrt(sum / 100000);
  };
  CHECK(deviation(DiscreteGaussian(*noise_variance(kNoiseSigmaMax * kNoiseSigmaMax))) == doctest::Approx(kNoiseSigmaMax).epsilon(0.01));
  CHECK(deviation(*Skellam::of_variance(*noise_variance(kSkellamSigmaMax * kSkellamSigmaMax))) ==
        doctest::Approx(kSkellamSigmaMax).epsilon(0.01));
}

TEST_CASE("noise: coins have their chances") {
  SeededBytes random(18);
  NoiseBits bits(random);
  const auto heads = [&](auto coin) {
    int count = 0;
    for (int i = 0; i < 400000; ++i) count += coin() ? 1 : 0;
    return count / 400000.0;
  };
  const auto near = [](double p) { return doctest::Approx(p).epsilon(0).scale(1).epsilon(4 * std::sqrt(p * (1 - p) / 400000)); };
  CHECK(heads([&] { return bits.coin(); }) == near(0.5));
  for (const double rate : {0.001, 0.3, 1.0, 1.7, 5.0})
    CHECK(heads([&] { return bits.bernoulli_exp({static_cast<Wide128>(rate * 1000), 1000}); }) == near(std::exp(-rate)));
  // Denominators of more than 64 bits, and chances that a word cannot hold.
  const Wide128 large = Wide128{1} << 115;
  CHECK(heads([&] { return bits.bernoulli({large / 3, large}); }) == near(1 / 3.0));
  CHECK(heads([&] { return bits.bernoulli({(Wide128{1} << 126) / 5, (Wide128{1} << 126) + 12345}); }) == near(0.2));
  CHECK(heads([&] { return bits.bernoulli({1, large}); }) == 0);
  CHECK(heads([&] { return bits.bernoulli({large, large}); }) == 1);
  CHECK(heads([&] { return bits.below(3) == 2; }) == near(1 / 3.0));
  CHECK(heads([&] { return bits.below_wide((Wide128{3} << 70) + 1) >= (Wide128{2} << 70); }) == near(1 / 3.0));
}

TEST_CASE("noise: a coin whose first 64 digits are undecided goes on to the next") {
  class Script final : public SecureRandom {  // the key of a stream does not matter: it is one key
   public:
    void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), std::uint8_t{7}); }
  } key;
  // What the stream's first two words are; then a chance whose first 64 digits are the first word exactly.
  NoiseBits peek(key);
  const std::uint64_t first = peek.word(), second = peek.word();
  const Wide128 whole = Wide128{1} << 100;
  const Wide128 base = static_cast<Wide128>(first) << 36;
  const std::uint64_t digits = second >> 28;  // 36 more
  NoiseBits below(key), above(key);
  CHECK_FALSE(below.bernoulli({base + digits, whole}));
  CHECK(above.bernoulli({base + digits + 1, whole}));
  CHECK(below.word() != second);  // the second word was looked at
}

TEST_CASE("noise: the same source gives the same noise, another gives another") {
  const auto draw = [](std::uint64_t seed) {
    SeededBytes random(seed);
    NoiseBits bits(random);
    std::vector<std::int64_t> out(64, std::int64_t{1} << 62);
    RingNoise::of(NoiseMechanism::kSkellam, *noise_variance(100))->add_to(out, bits);
    RingNoise::of(NoiseMechanism::kDiscreteGaussian, *noise_variance(100))->add_to(out, bits);
    return out;
  };
  CHECK(draw(1) == draw(1));
  CHECK(draw(1) != draw(2));
  CHECK(draw(1)[0] > (std::int64_t{1} << 61));
}

TEST_CASE("noise: variances that no sampler holds are refused by name") {
  CHECK_FALSE(noise_variance(0).has_value());
  CHECK_FALSE(noise_variance(-1).has_value());
  CHECK_FALSE(noise_variance(std::nan("")).has_value());
  CHECK_FALSE(noise_variance(std::ldexp(1.0, 41)).has_value());
  const NoiseVariance most = *noise_variance(std::ldexp(1.0, 40));
  CHECK(RingNoise::of(NoiseMechanism::kDiscreteGaussian, most).has_value());
  for (const std::uint64_t units : {std::uint64_t{0}, most.in_65536ths + 1, ~std::uint64_t{0}}) {  // as f64 the second is `most`
    CAPTURE(units);
    CHECK_FALSE(RingNoise::of(NoiseMechanism::kDiscreteGaussian, NoiseVariance{units}).has_value());
    CHECK_FALSE(RingNoise::of(NoiseMechanism::kSkellam, NoiseVariance{units}).has_value());
  }
  const auto wide = Skellam::of_variance(*noise_variance(std::ldexp(1.0, 29)));
  REQUIRE_FALSE(wide.has_value());
  CHECK(wide.error().message.find("16384") != std::string::npos);
}

TEST_CASE("noise: what a Skellam table lacks of its law is stated, and nothing beside delta") {
  for (const double sigma : {1.0, 614.0, kSkellamSigmaMax}) {
    const Skellam skellam = *Skellam::of_variance(*noise_variance(sigma * sigma));
    CHECK(skellam.total_variation() > 0);
    // 2^24 coordinates, 1,000 members, 1,000 rounds.
    CHECK(skellam.total_variation() * std::ldexp(1.0, 24) * 1e6 < 1e-10);
    CHECK(skellam.table_entries() < 400'000);
  }
}

TEST_CASE("noise: the Skellam table is the Poisson law to within what it states") {
  const auto vectors = nlohmann::json::parse(std::ifstream(COVEY_SOURCE_DIR "/tests/vectors/privacy/accountant.json"));
  for (const auto& row : vectors.at("poisson")) {
    const double variance = row.at("variance");
    const Skellam skellam = *Skellam::of_variance(*noise_variance(variance));
    const auto allowed = static_cast<Wide128>(std::ldexp(skellam.total_variation(), 110)) + 1;
    CHECK(allowed < (Wide128{1} << 20));  // far below what 64 bits could hold
    for (const auto& at : row.at("up_to")) {
      CAPTURE(at.dump());
      Wide128 exact = 0;
      for (const char digit : at.at(1).get<std::string>()) exact = exact * 16 + static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
      Fraction chance = skellam.poisson_up_to(at.at(0));
      Wide128 digits = 0;  // floor(chance * 2^110)
      for (int i = 0; i < 110; ++i) {
        chance.numerator *= 2;
        digits = digits * 2 + (chance.numerator >= chance.denominator ? 1 : 0);
        if (chance.numerator >= chance.denominator) chance.numerator -= chance.denominator;
      }
      CHECK((digits > exact ? digits - exact : exact - digits) <= allowed);
    }
  }
}

// n_min survivors of whom A add nothing.
TEST_CASE("noise: variance with only n_min - A contributors >= sigma^2") {
  for (const auto mechanism : {NoiseMechanism::kDiscreteGaussian, NoiseMechanism::kSkellam})
    for (const auto& [survivors, corrupt, sigma] : {std::tuple{10u, 3u, 40.0}, {67u, 33u, 25.3}, {900u, 100u, 150.0}}) {
      CAPTURE(survivors);
      const NoiseShare share = *noise_share({sigma, survivors, corrupt});
      CHECK(share.contributors == survivors - corrupt);
      const double each = value_of(share.variance);
      // By the law itself, and not by much: one contributor less would not do.
      const double exact = variance_of(mechanism == NoiseMechanism::kSkellam ? skellam_law(each) : gaussian_law(each));
      CHECK(exact * share.contributors >= sigma * sigma * (1 - 1e-9));
      CHECK(exact * (share.contributors - 1) < sigma * sigma);
      // By what is drawn.
      const RingNoise noise = *RingNoise::of(mechanism, share.variance);
      SeededBytes random(survivors);
      NoiseBits bits(random);
      std::vector<std::int64_t> sum(2'000'000 / share.contributors);
      for (std::uint32_t member = 0; member < share.contributors; ++member) noise.add_to(sum, bits);
      double squares = 0;
      for (const std::int64_t x : sum) squares += static_cast<double>(x) * static_cast<double>(x);
      const double measured = squares / static_cast<double>(sum.size()) / (sigma * sigma);
      const double error = std::sqrt(2 / static_cast<double>(sum.size()));
      CHECK(measured > 1 - 3.8 * error);  // p = 7e-5 below, if it were sigma^2
      CHECK(measured < 1.002 + 3.8 * error);
    }
}

TEST_CASE("noise: too few honest survivors are refused") {
  CHECK_FALSE(noise_share({10, 5, 5}).has_value());
  CHECK_FALSE(noise_share({10, 5, 3}).has_value());
  CHECK(noise_share({10, 6, 3}).has_value());
  CHECK_FALSE(noise_share({0, 60, 3}).has_value());
  CHECK(noise_share({10, 5, 4}).error().message.find("selection.min_clients") != std::string::npos);
}

}  // namespace covey
