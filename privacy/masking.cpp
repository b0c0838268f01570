#include "privacy/masking.h"

#include <atomic>
#include <bit>
#include <latch>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/crypto/kdf.h"

namespace covey {
namespace {

static_assert(std::endian::native == std::endian::little, "words are hashed and masked as little-endian bytes");

// The sum of one piece and two keystreams of it (16 KiB of them) stay in the first-level cache together.
constexpr std::size_t kPieceWords = 8 * 1024 / 8;
// Ciphers kept ready at once: a part is walked once per so many terms.
constexpr std::size_t kTermsAtOnce = 128;
// What one thread takes at a time: long enough that setting up the ciphers does not count, short enough
// that no thread waits long for the last.
constexpr std::uint64_t kShareWordsMax = 512 * 1024 / 8;
constexpr std::uint64_t kShareWordsMin = 8 * kPieceWords;

void apply_some(const VectorPart& part, std::span<const MaskTerm> terms, const Ring& ring, PrgCipher cipher) {
  std::vector<Prg> streams;
  streams.reserve(terms.size());
  for (const MaskTerm& term : terms) {
    streams.emplace_back(term.key, cipher);
    if (part.first_word != 0) streams.back().seek(part.first_word * 8);
  }
  alignas(64) std::array<std::uint64_t, 2 * kPieceWords> keystream;
  const auto expand = [](Prg& stream, std::span<std::uint64_t> into) {
    stream.fill({reinterpret_cast<std::uint8_t*>(into.data()), into.size_bytes()});
  };
  for (auto rest = part.words; !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPieceWords));
    const auto one = std::span(keystream).first(piece.size());
    const auto two = std::span(keystream).subspan(kPieceWords, piece.size());
    std::size_t i = 0;
    for (; i + 2 <= terms.size(); i += 2) {
      expand(streams[i], one);
      expand(streams[i + 1], two);
      combine_two(piece, {one, terms[i].sign}, {two, terms[i + 1].sign}, ring);
    }
    if (i < terms.size()) {
      expand(streams[i], one);
      combine(piece, one, terms[i].sign, ring);
    }
    rest = rest.subspan(piece.size());
  }
  wipe({reinterpret_cast<std::uint8_t*>(keystream.data()), sizeof keystream});
}

}  // namespace

Secret<32> vector_key(const Secret<32>& seed, std::size_t place, const VectorSpec& vector) {
  ByteWriter context;
  context.text(vector.name).u32(static_cast<std::uint32_t>(place)).u32(vector.width).u64(vector.values);
  return derive(seed, "covey secagg vec v1", context.bytes());
}

void apply_masks(const VectorPart& part, std::span<const MaskTerm> terms, const Ring& ring, PrgCipher cipher) {
  while (!terms.empty()) {
    const auto some = terms.first(std::min(terms.size(), kTermsAtOnce));
    apply_some(part, some, ring, cipher);
    terms = terms.subspan(some.size());
  }
}

void apply_masks(const VectorPart& part, std::span<const MaskTerm> terms, const Ring& ring, PrgCipher cipher,
                 WorkerPool& pool) {
  const std::uint64_t all = part.words.size();
  const std::uint64_t turn = pool.size() * kShareWordsMax;  // all threads together, so that shares come out even
  const std::uint64_t shares = pool.size() * std::max<std::uint64_t>(1, (all + turn - 1) / turn);
  const std::uint64_t each = std::max((all + shares - 1) / shares, kShareWordsMin);
  std::atomic<std::uint64_t> next{0};
  std::latch done(static_cast<std::ptrdiff_t>(pool.size()));
  for (std::size_t i = 0; i < pool.size(); ++i)
    pool.submit([&] {
      for (std::uint64_t at = next.fetch_add(each); at < all; at = next.fetch_add(each))
        apply_masks({part.words.subspan(at, std::min(each, all - at)), part.first_word + at}, terms, ring, cipher);
      done.count_down();
    });
  done.wait();
}

MaskedHash::MaskedHash(const Digest& sid) {
  ByteWriter head;
  head.text("covey secagg masked v1").fixed(sid);
  hash_.update(head.bytes());
}
MaskedHash& MaskedHash::begin(std::size_t place, const VectorSpec& vector) {
  ByteWriter head;
  head.u32(static_cast<std::uint32_t>(place)).text(vector.name).u32(vector.width).u64(vector.values);
  hash_.update(head.bytes());
  return *this;
}
MaskedHash& MaskedHash::update(std::span<const std::uint64_t> words) {
  hash_.update({reinterpret_cast<const std::uint8_t*>(words.data()), words.size_bytes()});
  return *this;
}
Digest MaskedHash::finish() { return hash_.finish(); }

}  // namespace covey
