#include "core/crypto/x25519_lanes.h"

#include <cstring>

#include "core/base/check.h"

#ifdef COVEY_X86_IFMA
#include <immintrin.h>
#endif

namespace covey::primitives {

#ifdef COVEY_X86_IFMA
namespace {

// Field elements modulo 2^255 - 19 are five limbs of 51 bits. Between operations a limb is below 2^51 + 2^13, so that a
// sum of two is below 2^53 and one pass of carries brings it back; a factor must be below 2^52.
constexpr std::size_t kLimbs = 5;
constexpr int kLimbBits = 51;
constexpr std::uint64_t kLimbMask = (std::uint64_t{1} << kLimbBits) - 1;

typedef std::uint64_t Lanes __attribute__((vector_size(64)));
struct Element {
  Lanes limb[kLimbs];
};

Lanes constant(std::uint64_t value) { return Lanes{} + value; }
Lanes times_19(Lanes a) { return (a << 4) + (a << 1) + a; }
// sum + the low, or the high, 52 bits of a b, of which 52 bits each count.
Lanes add_low(Lanes sum, Lanes a, Lanes b) {
  return reinterpret_cast<Lanes>(_mm512_madd52lo_epu64(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
Lanes add_high(Lanes sum, Lanes a, Lanes b) {
  return reinterpret_cast<Lanes>(_mm512_madd52hi_epu64(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

// Limbs below 2^60 come out below 2^51 + 19 * 2^9.
Element carried(const Element& a) {
  Element result;
  for (std::size_t i = 0; i < kLimbs; ++i) {
    const Lanes over = a.limb[(i + kLimbs - 1) % kLimbs] >> kLimbBits;
    result.limb[i] = (a.limb[i] & kLimbMask) + (i == 0 ? times_19(over) : over);
  }
  return result;
}

Element add(const Element& a, const Element& b) {
  Element sum;
  for (std::size_t i = 0; i < kLimbs; ++i) sum.limb[i] = a.limb[i] + b.limb[i];
  return carried(sum);
}

// a + 2p - b: no limb is negative.
Element subtract(const Element& a, const Element& b) {
  Element difference;
  for (std::size_t i = 0; i < kLimbs; ++i) {
    const std::uint64_t twice_p = 2 * (i == 0 ? kLimbMask - 18 : kLimbMask);
    difference.limb[i] = a.limb[i] + twice_p - b.limb[i];
  }
  return carried(difference);
}

// Products of limbs by their weight: the low 52 bits of each, and the high ones, which weigh 2^52 = 2 * 2^51 more.
struct Product {
  Lanes low[2 * kLimbs];
  Lanes high[2 * kLimbs];
};
Element folded(const Product& p) {
  Element result;
  for (std::size_t i = 0; i < kLimbs; ++i) {
    const Lanes below = p.low[i] + (p.high[i] << 1), above = p.low[i + kLimbs] + (p.high[i + kLimbs] << 1);
    result.limb[i] = below + times_19(above);  // 2^255 = 19
  }
  return carried(result);
}

Element multiply(const Element& a, const Element& b) {
  Product p;
  for (std::size_t i = 0; i < 2 * kLimbs; ++i) p.low[i] = p.high[i] = Lanes{};
  for (std::size_t i = 0; i < kLimbs; ++i)
    for (std::size_t j = 0; j < kLimbs; ++j) {
      p.low[i + j] = add_low(p.low[i + j], a.limb[i], b.limb[j]);
      p.high[i + j + 1] = add_high(p.high[i + j + 1], a.limb[i], b.limb[j]);
    }
  return folded(p);
}

Element square(const Element& a) {
  Product p;
  for (std::size_t i = 0; i < 2 * kLimbs; ++i) p.low[i] = p.high[i] = Lanes{};
  for (std::size_t i = 0; i < kLimbs; ++i)
    for (std::size_t j = i + 1; j < kLimbs; ++j) {
      p.low[i + j] = add_low(p.low[i + j], a.limb[i], a.limb[j]);
      p.high[i + j + 1] = add_high(p.high[i + j + 1], a.limb[i], a.limb[j]);
    }
  for (std::size_t i = 0; i < 2 * kLimbs; ++i) p.low[i] <<= 1, p.high[i] <<= 1;
  for (std::size_t i = 0; i < kLimbs; ++i) {
    p.low[2 * i] = add_low(p.low[2 * i], a.limb[i], a.limb[i]);
    p.high[2 * i + 1] = add_high(p.high[2 * i + 1], a.limb[i], a.limb[i]);
  }
  return folded(p);
}

Element times_small(const Element& a, std::uint64_t factor) {
  Product p;
  for (std::size_t i = 0; i < 2 * kLimbs; ++i) p.low[i] = p.high[i] = Lanes{};
  for (std::size_t i = 0; i < kLimbs; ++i) {
    p.low[i] = add_low(p.low[i], a.limb[i], constant(factor));
    p.high[i + 1] = add_high(p.high[i + 1], a.limb[i], constant(factor));
  }
  return folded(p);
}

Element squared(Element a, int times) {
  for (int i = 0; i < times; ++i) a = square(a);
  return a;
}

// a^(p - 2), p - 2 = 2^255 - 21: runs of ones, then 01011.
Element inverse(const Element& a) {
  const Element a2 = square(a);
  const Element a9 = multiply(squared(a2, 2), a);
  const Element a11 = multiply(a9, a2);
  const Element ones5 = multiply(square(a11), a9);
  const Element ones10 = multiply(squared(ones5, 5), ones5);
  const Element ones20 = multiply(squared(ones10, 10), ones10);
  const Element ones40 = multiply(squared(ones20, 20), ones20);
  const Element ones50 = multiply(squared(ones40, 10), ones10);
  const Element ones100 = multiply(squared(ones50, 50), ones50);
  const Element ones200 = multiply(squared(ones100, 100), ones100);
  const Element ones250 = multiply(squared(ones200, 50), ones50);
  return multiply(squared(ones250, 5), a11);
}

void swap_where(Lanes mask, Element& a, Element& b) {
  for (std::size_t i = 0; i < kLimbs; ++i) {
    const Lanes change = mask & (a.limb[i] ^ b.limb[i]);
    a.limb[i] ^= change;
    b.limb[i] ^= change;
  }
}

Element broadcast(std::uint64_t value) {
  Element e;
  for (std::size_t i = 0; i < kLimbs; ++i) e.limb[i] = constant(i == 0 ? value : 0);
  return e;
}

using Limbs = std::array<std::uint64_t, kLimbs>;

Limbs limbs_of(const std::array<std::uint8_t, 32>& bytes) {
  Limbs limbs{};
  for (std::size_t bit = 0; bit < 255; bit += 1)
    limbs[bit / kLimbBits] |= std::uint64_t{(static_cast<unsigned>(bytes[bit / 8]) >> (bit % 8)) & 1U} << (bit % kLimbBits);
  return limbs;
}

// The one representative below p.
std::array<std::uint8_t, 32> bytes_of(Limbs limbs) {
  const auto carry = [&] {
    for (std::size_t i = 0; i < kLimbs; ++i) {
      const std::uint64_t over = limbs[i] >> kLimbBits;
      limbs[i] &= kLimbMask;
      limbs[(i + 1) % kLimbs] += i + 1 == kLimbs ? 19 * over : over;
    }
  };
  carry();
  carry();
  std::uint64_t over = 19;  // is 19 more beyond 2^255?
  for (const std::uint64_t limb : limbs) over = (limb + over) >> kLimbBits;
  limbs[0] += 19 * over;
  carry();  // and what went beyond it comes round as 19 * over, once too often where it did
  limbs[0] -= 19 * over;
  std::array<std::uint8_t, 32> bytes{};
  for (std::size_t bit = 0; bit < 255; bit += 1)
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (((limbs[bit / kLimbBits] >> (bit % kLimbBits)) & 1U) << (bit % 8)));
  return bytes;
}

Element loaded(const X25519Batch& keys) {
  alignas(64) std::uint64_t words[kLimbs][kX25519Lanes];
  for (std::size_t lane = 0; lane < kX25519Lanes; ++lane) {
    const Limbs limbs = limbs_of(keys[lane]);
    for (std::size_t i = 0; i < kLimbs; ++i) words[i][lane] = limbs[i];
  }
  Element e;
  for (std::size_t i = 0; i < kLimbs; ++i) std::memcpy(&e.limb[i], words[i], sizeof words[i]);
  return e;
}

void store(const Element& e, X25519Batch& shared) {
  alignas(64) std::uint64_t words[kLimbs][kX25519Lanes];
  for (std::size_t i = 0; i < kLimbs; ++i) std::memcpy(words[i], &e.limb[i], sizeof words[i]);
  for (std::size_t lane = 0; lane < kX25519Lanes; ++lane)
    shared[lane] = bytes_of({words[0][lane], words[1][lane], words[2][lane], words[3][lane], words[4][lane]});
}

}  // namespace

bool has_x25519_lanes() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
  return has;
}

// The ladder of RFC 7748, section 5, with its names.
void x25519_lanes(std::span<const std::uint8_t, 32> secret, const X25519Batch& keys, X25519Batch& shared) {
  COVEY_CHECK(has_x25519_lanes());
  const Element x1 = loaded(keys);
  Element x2 = broadcast(1), z2 = broadcast(0), x3 = x1, z3 = broadcast(1);
  std::uint64_t swap = 0;
  for (int t = 254; t >= 0; --t) {
    const std::uint64_t bit = t == 254 ? 1 : t < 3 ? 0 : (secret[static_cast<std::size_t>(t) / 8] >> (t % 8)) & 1U;
    const Lanes mask = constant(0 - (swap ^ bit));
    swap = bit;
    swap_where(mask, x2, x3);
    swap_where(mask, z2, z3);
    const Element a = add(x2, z2), b = subtract(x2, z2), aa = square(a), bb = square(b), e = subtract(aa, bb);
    const Element da = multiply(subtract(x3, z3), a), cb = multiply(add(x3, z3), b);
    x3 = square(add(da, cb));
    z3 = multiply(x1, square(subtract(da, cb)));
    x2 = multiply(aa, bb);
    z2 = multiply(e, add(aa, times_small(e, 121665)));
  }
  store(multiply(x2, inverse(z2)), shared);  // the last bits of a clamped secret are zero: nothing is left to swap
}

#else

bool has_x25519_lanes() { return false; }
void x25519_lanes(std::span<const std::uint8_t, 32>, const X25519Batch&, X25519Batch&) { COVEY_CHECK(has_x25519_lanes()); }

#endif

}  // namespace covey::primitives
