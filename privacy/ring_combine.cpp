// The inner loop of masking. Lanes that a vector register knows (8, 16, 32 bits) are added as such, all
// others by arithmetic within words: the lanes' highest bits are kept out of the addition, so that no
// carry crosses, and are put back by exclusive or. The widest instructions are chosen when it runs.
#include "core/base/check.h"
#include "privacy/ring.h"

namespace covey {
namespace {

// Of 64 bytes; the compiler splits it where registers are narrower.
typedef std::uint8_t Vector8 __attribute__((vector_size(64)));
typedef std::uint16_t Vector16 __attribute__((vector_size(64)));
typedef std::uint32_t Vector32 __attribute__((vector_size(64)));
typedef std::uint64_t Vector64 __attribute__((vector_size(64)));
constexpr std::size_t kVectorWords = 8;

struct Operands {
  std::uint64_t* into;
  const std::uint64_t* other;
  std::size_t words;
  std::uint64_t used;
  std::uint64_t top;
};

#define COVEY_INLINE __attribute__((always_inline)) inline

template <class Word>
COVEY_INLINE Word in_word_sum(Word x, Word y, std::uint64_t used, std::uint64_t top) {
  y &= used;
  return ((x & ~top) + (y & ~top)) ^ ((x ^ y) & top);
}
template <class Word>
COVEY_INLINE Word in_word_difference(Word x, Word y, std::uint64_t used, std::uint64_t top) {
  y &= used;
  return (((x | top) - (y & ~top)) ^ ((x ^ ~y) & top)) & used;
}

// Words are aligned to 8 bytes only; copying says so, and becomes one unaligned load or store.
template <class Vector>
COVEY_INLINE void load(Vector& vector, const std::uint64_t* words) {
  __builtin_memcpy(&vector, words, sizeof vector);
}
template <class Vector>
COVEY_INLINE void store(std::uint64_t* words, const Vector& vector) {
  __builtin_memcpy(words, &vector, sizeof vector);
}

template <class Vector, Sign sign>
COVEY_INLINE std::size_t whole_lanes(const Operands& o) {
  std::size_t i = 0;
  for (; i + kVectorWords <= o.words; i += kVectorWords) {
    Vector into, other;
    load(into, o.into + i);
    load(other, o.other + i);
    if constexpr (sign == Sign::kPlus)
      into += other;
    else
      into -= other;
    store(o.into + i, into);
  }
  return i;
}

template <Sign sign>
COVEY_INLINE std::size_t part_lanes(const Operands& o) {
  std::size_t i = 0;
  for (; i + kVectorWords <= o.words; i += kVectorWords) {
    Vector64 into, other;
    load(into, o.into + i);
    load(other, o.other + i);
    other &= o.used;
    if constexpr (sign == Sign::kPlus)
      into = ((into & ~o.top) + (other & ~o.top)) ^ ((into ^ other) & o.top);
    else
      into = (((into | o.top) - (other & ~o.top)) ^ ((into ^ ~other) & o.top)) & o.used;
    store(o.into + i, into);
  }
  return i;
}

template <Sign sign>
COVEY_INLINE void combine_with(const Operands& o, unsigned width) {
  std::size_t i = 0;
  switch (width) {
    case 8: i = whole_lanes<Vector8, sign>(o); break;
    case 16: i = whole_lanes<Vector16, sign>(o); break;
    case 32: i = whole_lanes<Vector32, sign>(o); break;
    default: i = part_lanes<sign>(o); break;
  }
  for (; i < o.words; ++i)
    o.into[i] = sign == Sign::kPlus ? in_word_sum(o.into[i], o.other[i], o.used, o.top)
                                    : in_word_difference(o.into[i], o.other[i], o.used, o.top);
}

// Two at once read and write `into` once: in the cache, that is what an addition costs.
template <class Vector, Sign first, Sign second>
COVEY_INLINE std::size_t whole_lanes_of_two(const Operands& o, const std::uint64_t* second_words) {
  std::size_t i = 0;
  for (; i + kVectorWords <= o.words; i += kVectorWords) {
    Vector into, one, two;
    load(into, o.into + i);
    load(one, o.other + i);
    load(two, second_words + i);
    into = first == Sign::kPlus ? into + one : into - one;
    into = second == Sign::kPlus ? into + two : into - two;
    store(o.into + i, into);
  }
  return i;
}

template <Sign first, Sign second>
COVEY_INLINE void combine_two_with(const Operands& o, const std::uint64_t* second_words, unsigned width) {
  std::size_t done = 0;
  switch (width) {
    case 8: done = whole_lanes_of_two<Vector8, first, second>(o, second_words); break;
    case 16: done = whole_lanes_of_two<Vector16, first, second>(o, second_words); break;
    case 32: done = whole_lanes_of_two<Vector32, first, second>(o, second_words); break;
    default: break;
  }
  const std::size_t rest = o.words - done;
  combine_with<first>({o.into + done, o.other + done, rest, o.used, o.top}, width);
  combine_with<second>({o.into + done, second_words + done, rest, o.used, o.top}, width);
}

struct Task {
  Operands operands;
  unsigned width;
  Sign sign;
  const std::uint64_t* second;  // or none
  Sign second_sign;
};
using Kernel = void (*)(const Task&);

COVEY_INLINE void any(const Task& t) {
  constexpr Sign kP = Sign::kPlus, kM = Sign::kMinus;
  if (t.second == nullptr) return t.sign == kP ? combine_with<kP>(t.operands, t.width) : combine_with<kM>(t.operands, t.width);
  if (t.sign == kP && t.second_sign == kP) return combine_two_with<kP, kP>(t.operands, t.second, t.width);
  if (t.sign == kP) return combine_two_with<kP, kM>(t.operands, t.second, t.width);
  if (t.second_sign == kP) return combine_two_with<kM, kP>(t.operands, t.second, t.width);
  combine_two_with<kM, kM>(t.operands, t.second, t.width);
}
void plain(const Task& t) { any(t); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void with_avx2(const Task& t) { any(t); }
__attribute__((target("avx512f,avx512bw,prefer-vector-width=512"))) void with_avx512(const Task& t) { any(t); }
Kernel choose() {
  if (__builtin_cpu_supports("avx512bw")) return with_avx512;
  if (__builtin_cpu_supports("avx2")) return with_avx2;
  return plain;
}
#else
Kernel choose() { return plain; }
#endif

Kernel kernel() {
  static const Kernel chosen = choose();
  return chosen;
}

}  // namespace

void combine(std::span<std::uint64_t> into, std::span<const std::uint64_t> other, Sign sign, const Ring& ring) {
  COVEY_CHECK(into.size() == other.size());
  kernel()({{into.data(), other.data(), into.size(), ring.used_bits(), ring.top_bits()}, ring.width(), sign, nullptr, sign});
}

void combine_two(std::span<std::uint64_t> into, const SignedWords& one, const SignedWords& two, const Ring& ring) {
  COVEY_CHECK(into.size() == one.words.size() && into.size() == two.words.size());
  kernel()({{into.data(), one.words.data(), into.size(), ring.used_bits(), ring.top_bits()}, ring.width(), one.sign,
            two.words.data(), two.sign});
}

}  // namespace covey
