#include "privacy/masking.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "core/crypto/primitives.h"
#include "tests/privacy/test_bytes.h"

namespace covey {
namespace {

std::vector<MaskTerm> terms_of(std::size_t count, std::uint64_t seed) {
  SeededBytes random(seed);
  std::vector<MaskTerm> terms;
  for (std::size_t i = 0; i < count; ++i)
    terms.push_back({Secret<32>::random(random), i % 3 == 0 ? Sign::kMinus : Sign::kPlus});
  return terms;
}

// The specification of a mask: one term after another, one value after another, over the whole vector.
std::vector<std::uint64_t> plainly(std::vector<std::uint64_t> words, const std::vector<MaskTerm>& terms, const Ring& ring,
                                   PrgCipher cipher) {
  for (const MaskTerm& term : terms) {
    Prg prg(term.key, cipher);
    for (auto& word : words) {
      std::array<std::uint8_t, 8> bytes{};
      prg.fill(bytes);
      std::uint64_t key = 0;
      for (std::size_t i = 0; i < 8; ++i) key |= std::uint64_t{bytes[i]} << (8 * i);
      std::uint64_t sum = 0;
      for (unsigned lane = 0; lane < ring.lanes(); ++lane) {
        const unsigned at = lane * ring.width();
        const std::uint64_t x = word >> at, m = key >> at;
        sum |= ((term.sign == Sign::kPlus ? x + m : x - m) & ring.lane_mask()) << at;
      }
      word = sum;
    }
  }
  return words;
}

TEST_CASE("keystream KAT; chunk/thread invariance: equals EVP, identical output") {
  WorkerPool pool(3);
  for (const PrgCipher cipher : {PrgCipher::kAes256Ctr, PrgCipher::kChaCha20})
    for (const unsigned width : {8U, 16U, 20U, 32U}) {
      const Ring ring = *Ring::of_width(width);
      const auto terms = terms_of(5, width);
      const std::size_t count = 9001;  // words: more than two pieces, and a rest
      const auto expected = plainly(std::vector<std::uint64_t>(count), terms, ring, cipher);
      std::vector<std::uint64_t> whole(count), parts(count), threads(count);
      apply_masks({whole, 0}, terms, ring, cipher);
      CHECK(whole == expected);
      for (std::size_t at = 0; at < count; at += 777)
        apply_masks({std::span(parts).subspan(at, std::min<std::size_t>(777, count - at)), at}, terms, ring, cipher);
      CHECK(parts == expected);
      apply_masks({threads, 0}, terms, ring, cipher, pool);
      CHECK(threads == expected);
    }
}

TEST_CASE("masks of more pairs than fit one pass, on threads, cancel exactly") {
  WorkerPool pool(2);
  const Ring ring = *Ring::of_width(20);
  auto terms = terms_of(300, 7);
  std::vector<std::uint64_t> words(70000, 0x0123456789abcdefULL & ring.used_bits());
  const auto before = words;
  apply_masks({words, 0}, terms, ring, PrgCipher::kAes256Ctr, pool);
  CHECK(words != before);
  for (auto& term : terms) term.sign = term.sign == Sign::kPlus ? Sign::kMinus : Sign::kPlus;
  apply_masks({words, 0}, terms, ring, PrgCipher::kAes256Ctr);
  CHECK(words == before);
}

// Chi-squared of a lane's top three bits against uniform, 7 degrees of freedom; 29.88 is p = 1e-4.
TEST_CASE("masked input vs uniform (chi^2, per lane): p > 1e-4, passes also x = 0") {
  for (const unsigned width : {8U, 16U, 20U, 32U})
    for (const std::uint64_t fill : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      const Ring ring = *Ring::of_width(width);
      std::vector<std::uint64_t> words(40000, fill & ring.used_bits());
      apply_masks({words, 0}, terms_of(3, width + fill % 5), ring, PrgCipher::kAes256Ctr);
      for (unsigned lane = 0; lane < ring.lanes(); ++lane) {
        double counts[8] = {};
        for (const auto word : words) counts[(word >> (lane * width + width - 3)) & 7] += 1;
        double chi2 = 0;
        for (const double count : counts) chi2 += (count - 5000) * (count - 5000) / 5000;
        CHECK(chi2 < 29.88);
      }
    }
}

TEST_CASE("a vector's key depends on seed, place, name, width and length") {
  const Secret<32> seed;
  const VectorSpec spec{"update", 32, 1000};
  const auto key = vector_key(seed, 0, spec);
  CHECK(vector_key(seed, 0, spec).equals(key));
  CHECK_FALSE(vector_key(seed, 1, spec).equals(key));
  CHECK_FALSE(vector_key(seed, 0, {"updatf", 32, 1000}).equals(key));
  CHECK_FALSE(vector_key(seed, 0, {"update", 31, 1000}).equals(key));
  CHECK_FALSE(vector_key(seed, 0, {"update", 32, 1001}).equals(key));
}

TEST_CASE("H(y) does not depend on the pieces and does on everything else") {
  std::vector<std::uint64_t> words(1000, 5);
  const VectorSpec spec{"update", 32, 2000};
  const Digest sid{};
  const Digest whole = MaskedHash(sid).begin(0, spec).update(words).finish();
  MaskedHash pieces(sid);
  pieces.begin(0, spec);
  for (std::size_t at = 0; at < 1000; at += 100) pieces.update(std::span(words).subspan(at, 100));
  CHECK(pieces.finish() == whole);
  CHECK(MaskedHash(sid).begin(1, spec).update(words).finish() != whole);
  CHECK(MaskedHash(sha256({})).begin(0, spec).update(words).finish() != whole);
  words[999] ^= 1;
  CHECK(MaskedHash(sid).begin(0, spec).update(words).finish() != whole);
}

}  // namespace
}  // namespace covey
