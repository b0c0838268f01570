#include "privacy/shamir.h"

#include <algorithm>
#include <array>
#include <string>

#include "privacy/shamir_field.h"

namespace covey {
namespace {

using field::kPrime;
using Limbs = std::array<std::uint64_t, kShareLimbs>;
using Polynomial = std::vector<std::uint64_t>;  // coefficients, lowest first; no leading zero; {} is 0
constexpr std::size_t kLimbBytes = 7;

Limbs limbs_of(const Secret<32>& secret) {
  Limbs limbs{};
  const auto bytes = secret.expose();
  for (std::size_t i = 0; i < bytes.size(); ++i)
    limbs[i / kLimbBytes] |= std::uint64_t{bytes[i]} << (8 * (i % kLimbBytes));
  return limbs;
}

// Nothing where a limb does not fit its bytes: no dealer of ours made it.
bool secret_of(const Limbs& limbs, Secret<32>& secret) {
  std::uint64_t over = limbs[4] >> 32;
  for (const std::uint64_t limb : limbs) over |= limb >> (8 * kLimbBytes);
  const auto bytes = secret.expose();
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(limbs[i / kLimbBytes] >> (8 * (i % kLimbBytes)));
  return over == 0;
}

Limbs limbs_of(const Share& share) {
  Limbs limbs{};
  const auto bytes = share.value.expose();
  for (std::size_t i = 0; i < kShareBytes; ++i) limbs[i / 8] |= std::uint64_t{bytes[i]} << (8 * (i % 8));
  return limbs;
}

template <class Container>
void wipe_words(Container& words) {
  wipe({reinterpret_cast<std::uint8_t*>(words.data()), words.size() * sizeof(std::uint64_t)});
}

// Uniform below p: 61 random bits, drawn again for the one value that is p.
class Coefficients {
 public:
  explicit Coefficients(SecureRandom& random) : random_(random) {}
  ~Coefficients() { wipe_words(buffer_); }
  std::uint64_t next() {
    while (true) {
      if (used_ == buffer_.size()) refill();
      const std::uint64_t value = buffer_[used_++] & kPrime;
      if (value != kPrime) return value;
    }
  }

 private:
  void refill() {
    random_.fill({reinterpret_cast<std::uint8_t*>(buffer_.data()), buffer_.size() * sizeof(std::uint64_t)});
    used_ = 0;
  }
  SecureRandom& random_;
  std::array<std::uint64_t, 64> buffer_{};
  std::size_t used_ = 64;
};

Result<void> check_shares(std::span<const Share> shares, std::uint32_t threshold) {
  std::vector<std::uint32_t> xs;
  for (const Share& share : shares) {
    COVEY_TRY_VOID(check_share(share));
    xs.push_back(share.x);
  }
  std::sort(xs.begin(), xs.end());
  if (const auto twice = std::adjacent_find(xs.begin(), xs.end()); twice != xs.end())
    return unexpected(ErrorCode::kInvalidMessage, "two shares are for x = " + std::to_string(*twice));
  if (threshold == 0 || shares.size() < threshold)
    return unexpected(ErrorCode::kInvalidMessage, std::to_string(shares.size()) + " shares do not open a secret of threshold " +
                                                      std::to_string(threshold));
  return {};
}

// The inverses of all, none of which is 0, for the price of one (Montgomery 1987).
std::vector<std::uint64_t> inverses(const std::vector<std::uint64_t>& values) {
  std::vector<std::uint64_t> result(values.size());
  std::uint64_t product = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    result[i] = product;
    product = field::multiply(product, values[i]);
  }
  std::uint64_t rest = field::inverse(product);
  for (std::size_t i = values.size(); i-- > 0;) {
    result[i] = field::multiply(result[i], rest);
    rest = field::multiply(rest, values[i]);
  }
  return result;
}

// The weights that turn values at xs into the value at `at`, which is none of them (Lagrange): of each x the product of
// (at - other) over all others, by that of (x - other). The first is the product over all, by (at - x).
std::vector<std::uint64_t> weights(std::span<const std::uint64_t> xs, std::uint64_t at) {
  std::uint64_t all = 1;
  std::vector<std::uint64_t> below(xs.size());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const std::uint64_t gap = field::subtract(at, xs[i]);
    all = field::multiply(all, gap);
    below[i] = gap;
    for (std::size_t j = 0; j < xs.size(); ++j)
      if (j != i) below[i] = field::multiply(below[i], field::subtract(xs[i], xs[j]));
  }
  std::vector<std::uint64_t> result = inverses(below);
  for (std::uint64_t& weight : result) weight = field::multiply(weight, all);
  return result;
}

Limbs combined(std::span<const Limbs> values, std::span<const std::uint64_t> by) {
  Limbs sum{};
  for (std::size_t i = 0; i < by.size(); ++i)
    for (std::size_t l = 0; l < kShareLimbs; ++l) sum[l] = field::add(sum[l], field::multiply(values[i][l], by[i]));
  return sum;
}

void trim(Polynomial& p) {
  while (!p.empty() && p.back() == 0) p.pop_back();
}

std::uint64_t value_at(const Polynomial& p, std::uint64_t x) {
  std::uint64_t value = 0;
  for (std::size_t i = p.size(); i > 0; --i) value = field::add(field::multiply(value, x), p[i - 1]);
  return value;
}

// Newton's interpolation through (xs, ys), and the product of (X - x) over all xs.
Polynomial interpolate(std::span<const std::uint64_t> xs, std::span<const std::uint64_t> ys, Polynomial& product) {
  Polynomial result;
  product = {1};
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const std::uint64_t gap = field::subtract(ys[i], value_at(result, xs[i]));
    const std::uint64_t step = field::multiply(gap, field::inverse(value_at(product, xs[i])));
    result.resize(std::max(result.size(), product.size()));
    for (std::size_t k = 0; k < product.size(); ++k) result[k] = field::add(result[k], field::multiply(step, product[k]));
    Polynomial next(product.size() + 1);
    for (std::size_t k = 0; k < product.size(); ++k) {
      next[k + 1] = field::add(next[k + 1], product[k]);
      next[k] = field::subtract(next[k], field::multiply(product[k], xs[i]));
    }
    product = std::move(next);
  }
  trim(result);
  return result;
}

// a = quotient * b + remainder; `a` becomes the remainder.
Polynomial divide(Polynomial& a, const Polynomial& b) {
  Polynomial quotient;
  const std::uint64_t lead = field::inverse(b.back());
  while (a.size() >= b.size()) {
    const std::size_t shift = a.size() - b.size();
    const std::uint64_t factor = field::multiply(a.back(), lead);
    quotient.resize(std::max(quotient.size(), shift + 1));
    quotient[shift] = factor;
    for (std::size_t i = 0; i < b.size(); ++i)
      a[shift + i] = field::subtract(a[shift + i], field::multiply(factor, b[i]));
    trim(a);
  }
  return quotient;
}

// Gao's decoder: the polynomial of degree below t that agrees with the most values, if it is unique.
bool decode(std::span<const std::uint64_t> xs, std::span<const std::uint64_t> ys, std::size_t t, Polynomial& found) {
  Polynomial older;
  Polynomial newer = interpolate(xs, ys, older);
  Polynomial u, v{1};  // newer = u' * product + v * interpolated
  const std::size_t stop = (xs.size() + t) / 2 + (xs.size() + t) % 2;  // degree below (m + t) / 2
  while (newer.size() > stop) {
    const Polynomial quotient = divide(older, newer);
    std::swap(older, newer);
    Polynomial next = u;
    next.resize(std::max(next.size(), quotient.size() + v.size()));
    for (std::size_t i = 0; i < quotient.size(); ++i)
      for (std::size_t k = 0; k < v.size(); ++k)
        next[i + k] = field::subtract(next[i + k], field::multiply(quotient[i], v[k]));
    trim(next);
    u = std::move(v);
    v = std::move(next);
  }
  found = divide(newer, v);
  return newer.empty() && found.size() <= t;
}

}  // namespace

std::vector<Share> deal(const Secret<32>& secret, std::uint32_t threshold, std::span<const std::uint32_t> xs,
                        SecureRandom& random) {
  COVEY_CHECK(threshold >= 1 && threshold <= xs.size());
  Coefficients coefficients(random);
  Limbs limbs = limbs_of(secret);
  std::vector<std::uint64_t> polynomial(threshold);
  std::vector<Share> shares(xs.size());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    COVEY_CHECK(xs[i] != 0);
    shares[i].x = xs[i];
  }
  for (std::size_t l = 0; l < kShareLimbs; ++l) {
    polynomial[0] = limbs[l];
    for (std::size_t k = 1; k < threshold; ++k) polynomial[k] = coefficients.next();
    for (Share& share : shares) {
      const std::uint64_t y = value_at(polynomial, share.x);
      for (std::size_t b = 0; b < 8; ++b) share.value.expose()[8 * l + b] = static_cast<std::uint8_t>(y >> (8 * b));
    }
  }
  wipe_words(polynomial);
  wipe_words(limbs);
  return shares;
}

Result<void> check_share(const Share& share) {
  if (share.x == 0) return unexpected(ErrorCode::kInvalidMessage, "a share for x = 0 would be the secret itself");
  for (const std::uint64_t limb : limbs_of(share))
    if (limb >= kPrime)
      return unexpected(ErrorCode::kInvalidMessage,
                        "the share for x = " + std::to_string(share.x) + " has a limb that is not below 2^61 - 1");
  return {};
}

Result<Opened> open_exactly(std::span<const Share> shares, std::uint32_t threshold) {
  COVEY_TRY_VOID(check_shares(shares, threshold));
  std::vector<std::uint64_t> xs;
  std::vector<Limbs> values;
  for (const Share& share : shares) {
    xs.push_back(share.x);
    values.push_back(limbs_of(share));
  }
  const auto base = std::span(xs).first(threshold);
  for (std::size_t i = threshold; i < xs.size(); ++i)
    if (combined(values, weights(base, xs[i])) != values[i])
      return unexpected(ErrorCode::kInvalidMessage, "the shares do not agree on one secret");
  Limbs limbs = combined(values, weights(base, 0));
  Opened opened;
  const bool fits = secret_of(limbs, opened.secret);
  wipe_words(limbs);
  for (Limbs& value : values) wipe_words(value);
  if (!fits) return unexpected(ErrorCode::kInvalidMessage, "the shares open to more than 32 bytes");
  return opened;
}

Result<Opened> open_correcting(std::span<const Share> shares, std::uint32_t threshold) {
  COVEY_TRY_VOID(check_shares(shares, threshold));
  std::vector<std::uint64_t> xs;
  for (const Share& share : shares) xs.push_back(share.x);
  Limbs limbs{};
  std::vector<bool> wrong(shares.size());
  for (std::size_t l = 0; l < kShareLimbs; ++l) {
    std::vector<std::uint64_t> ys;
    for (const Share& share : shares) ys.push_back(limbs_of(share)[l]);
    Polynomial polynomial;
    const bool decoded = decode(xs, ys, threshold, polynomial);
    limbs[l] = value_at(polynomial, 0);
    for (std::size_t i = 0; i < xs.size(); ++i)
      if (value_at(polynomial, xs[i]) != ys[i]) wrong[i] = true;
    wipe_words(polynomial);
    wipe_words(ys);
    if (!decoded) return unexpected(ErrorCode::kInvalidMessage, "too many of the shares are wrong to correct them");
  }
  Opened opened;
  for (std::size_t i = 0; i < shares.size(); ++i)
    if (wrong[i]) opened.wrong.push_back(shares[i].x);
  std::sort(opened.wrong.begin(), opened.wrong.end());
  const bool fits = secret_of(limbs, opened.secret);
  wipe_words(limbs);
  if (!fits || 2 * opened.wrong.size() > shares.size() - threshold)
    return unexpected(ErrorCode::kInvalidMessage, "too many of the shares are wrong to correct them");
  return opened;
}

}  // namespace covey
