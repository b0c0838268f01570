// A pseudo-random stream out of a 32-byte seed: AES-256 in counter mode (NIST SP 800-38A), or ChaCha20
// (RFC 8439, with a 64-bit block counter) for machines without AES instructions.
// Masks of secure aggregation and shared supports; the same seed gives the same bytes everywhere.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "core/crypto/secret.h"

namespace covey {

enum class PrgCipher : std::uint8_t { kAes256Ctr = 1, kChaCha20 = 2 };

class Prg {
 public:
  // The counter starts at zero: a seed serves one stream, so derive() one for each purpose.
  explicit Prg(const Secret<32>& seed, PrgCipher cipher = PrgCipher::kAes256Ctr);
  // The counter block of SP 800-38A, for its vectors.
  Prg(const Secret<32>& seed, const std::array<std::uint8_t, 16>& counter);
  ~Prg();
  Prg(Prg&&) noexcept;
  Prg& operator=(Prg&&) noexcept;

  // The next bytes of the stream. Numbers are read from them in little-endian order.
  void fill(std::span<std::uint8_t> out);
  // The same bytes, combined with what is in `inout`.
  void xor_into(std::span<std::uint8_t> inout);
  // Goes to a byte of the stream, counted from its start: threads expand parts of one mask.
  void seek(std::uint64_t offset_bytes);

 private:
  Prg(const Secret<32>& seed, const std::array<std::uint8_t, 16>& counter, PrgCipher cipher);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace covey
