// Masks on packed vectors: y = x + sum of +-PRG(key), in place, in constant memory. The result is the
// same bits however a vector is cut into pieces and however many threads work on it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/worker_pool.h"
#include "core/crypto/digest.h"
#include "core/crypto/prg.h"
#include "privacy/ring.h"

namespace covey {

// One vector of those that travel under one survivor set: shards, metrics, example counts.
struct VectorSpec {
  std::string name;            // at most kVectorNameBytesMax bytes
  unsigned width = 0;          // b
  std::uint64_t values = 0;    // 1 to kRingValuesMax
  bool operator==(const VectorSpec&) const = default;
};
inline constexpr std::size_t kVectorNameBytesMax = 64;
inline constexpr std::size_t kVectorsMax = 256;

// The key of one vector's masks out of a pair's or a member's seed, by place, name, width and length: no
// key ever serves two vectors.
Secret<32> vector_key(const Secret<32>& seed, std::size_t place, const VectorSpec& vector);

struct MaskTerm {
  Secret<32> key;
  Sign sign = Sign::kPlus;
};

// A run of a vector's words, `first_word` words after its start.
struct VectorPart {
  std::span<std::uint64_t> words;
  std::uint64_t first_word = 0;
};

void apply_masks(const VectorPart& part, std::span<const MaskTerm> terms, const Ring& ring, PrgCipher cipher);
// The same on every thread of `pool`. Not from a task of that pool.
void apply_masks(const VectorPart& part, std::span<const MaskTerm> terms, const Ring& ring, PrgCipher cipher,
                 WorkerPool& pool);

// H(y): SHA-256 over a tag, the attempt, and every vector with its place, width and length. Vectors come
// in order, each in pieces of any size.
class MaskedHash {
 public:
  explicit MaskedHash(const Digest& sid);
  MaskedHash& begin(std::size_t place, const VectorSpec& vector);
  MaskedHash& update(std::span<const std::uint64_t> words);
  Digest finish();

 private:
  Sha256 hash_;
};

}  // namespace covey
