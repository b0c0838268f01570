#include "privacy/shamir.h"

#include <doctest/doctest.h>

#include <numeric>

#include "privacy/shamir_field.h"
#include "tests/privacy/test_bytes.h"

namespace covey {
namespace {

std::vector<std::uint32_t> xs_to(std::uint32_t n) {
  std::vector<std::uint32_t> xs(n);
  std::iota(xs.begin(), xs.end(), 1U);
  return xs;
}
void spoil(Share& share, std::size_t byte = 0) { share.value.expose()[byte] ^= 1; }
std::span<const Share> first(const std::vector<Share>& shares, std::size_t count) {
  return std::span(shares).first(count);
}

TEST_CASE("field: sums and products agree with wide arithmetic at the edges") {
  using namespace field;
  const std::uint64_t edges[] = {0, 1, 2, kPrime / 2, kPrime - 2, kPrime - 1};
  for (const std::uint64_t a : edges)
    for (const std::uint64_t b : edges) {
      CHECK(add(a, b) == static_cast<std::uint64_t>((static_cast<Wide>(a) + b) % kPrime));
      CHECK(subtract(a, b) == static_cast<std::uint64_t>((static_cast<Wide>(a) + kPrime - b) % kPrime));
      CHECK(multiply(a, b) == static_cast<std::uint64_t>(static_cast<Wide>(a) * b % kPrime));
      if (a != 0) CHECK(multiply(a, inverse(a)) == 1);
    }
  CHECK(reduce(kPrime) == 0);
}

TEST_CASE("t-1 shares / t shares: fail / succeed, whichever they are") {
  SeededBytes random(1);
  for (const std::uint32_t n : {2U, 3U, 10U, 67U, 131U})
    for (const std::uint32_t t : {1U, 2U, n / 2 + 1, n}) {
      if (t > n) continue;
      const auto secret = Secret<32>::random(random);
      auto shares = deal(secret, t, xs_to(n), random);
      std::reverse(shares.begin(), shares.end());
      const auto opened = open_exactly(first(shares, t), t);
      REQUIRE(opened.has_value());
      CHECK(opened->secret.equals(secret));
      CHECK(open_exactly(shares, t)->secret.equals(secret));
      CHECK_FALSE(open_exactly(first(shares, t - 1), t).has_value());
      CHECK_FALSE(open_correcting(first(shares, t - 1), t).has_value());
    }
}

TEST_CASE("t-1 shares say nothing: every secret fits them") {
  SeededBytes random(2);
  const auto secret = Secret<32>::random(random);
  auto shares = deal(secret, 3, xs_to(5), random);
  const auto other = deal(Secret<32>::random(random), 3, xs_to(5), random);
  std::vector<Share> mixed;  // two true shares and a foreign one: opens, to something else
  mixed.push_back(shares[0].clone());
  mixed.push_back(shares[1].clone());
  mixed.push_back(other[2].clone());
  const auto opened = open_exactly(mixed, 3);
  CHECK((!opened || !opened->secret.equals(secret)));
}

TEST_CASE("wrong shares are corrected up to (m-t)/2 and named; one more is refused or a wrong secret") {
  SeededBytes random(3);
  const std::uint32_t n = 30, t = 11;
  const auto secret = Secret<32>::random(random);
  for (std::uint32_t wrong = 0; wrong <= (n - t) / 2; ++wrong) {
    auto shares = deal(secret, t, xs_to(n), random);
    std::vector<std::uint32_t> named;
    for (std::uint32_t i = 0; i < wrong; ++i) {
      spoil(shares[2 * i], i % kShareBytes);
      named.push_back(shares[2 * i].x);
    }
    const auto opened = open_correcting(shares, t);
    REQUIRE(opened.has_value());
    CHECK(opened->secret.equals(secret));
    CHECK(opened->wrong == named);
    CHECK(open_exactly(shares, t).has_value() == (wrong == 0));
  }
  auto shares = deal(secret, t, xs_to(n), random);
  for (std::uint32_t i = 0; i <= (n - t) / 2; ++i) spoil(shares[i], 8);
  const auto opened = open_correcting(shares, t);
  CHECK((!opened || !opened->secret.equals(secret)));
}

TEST_CASE("duplicate x, x = 0, limb >= p: rejected, not counted toward t") {
  SeededBytes random(4);
  const auto secret = Secret<32>::random(random);
  auto shares = deal(secret, 3, xs_to(4), random);
  shares[3] = shares[0].clone();
  CHECK_FALSE(open_exactly(shares, 3).has_value());
  CHECK_FALSE(open_correcting(shares, 3).has_value());
  shares = deal(secret, 3, xs_to(4), random);
  shares[2].x = 0;
  CHECK_FALSE(check_share(shares[2]).has_value());
  CHECK_FALSE(open_exactly(shares, 3).has_value());
  shares = deal(secret, 3, xs_to(4), random);
  for (std::size_t limb = 0; limb < kShareLimbs; ++limb) {
    Share bad = shares[1].clone();
    for (std::size_t b = 0; b < 8; ++b) bad.value.expose()[8 * limb + b] = b == 7 ? 0x1f : 0xff;  // p itself
    CHECK_FALSE(check_share(bad).has_value());
    bad.value.expose()[8 * limb] = 0xfe;  // p - 1
    CHECK(check_share(bad).has_value());
  }
}

TEST_CASE("a secret of all zeros and one of all ones go through") {
  SeededBytes random(5);
  Secret<32> ones;
  std::fill(ones.expose().begin(), ones.expose().end(), std::uint8_t{0xff});
  for (const Secret<32>* secret : {&ones}) {
    const auto shares = deal(*secret, 5, xs_to(9), random);
    CHECK(open_exactly(shares, 5)->secret.equals(*secret));
    CHECK(open_correcting(shares, 5)->secret.equals(*secret));
  }
  const Secret<32> zeros;
  CHECK(open_correcting(deal(zeros, 2, xs_to(4), random), 2)->secret.equals(zeros));
}

}  // namespace
}  // namespace covey
