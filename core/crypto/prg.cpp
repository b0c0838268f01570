#include "core/crypto/prg.h"

#include <openssl/evp.h>

#include <algorithm>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr std::size_t kPieceBytes = 32 * 1024;  // stays in the first-level cache between passes
constexpr std::size_t kBlockBytes = 16;
constexpr std::size_t kChaChaBlockBytes = 64;

// Never written, so that the system backs all of it with its one page of zeros: to encrypt it costs 4 KiB
// of the first-level cache, whatever its size. (A const array would lie in the program's file.)
alignas(4096) std::uint8_t zeros[kPieceBytes];

const EVP_CIPHER* aes_algorithm() {  // looked up once, as in digest.cpp
  static const EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
  COVEY_CHECK(algorithm != nullptr);
  return algorithm;
}

const EVP_CIPHER* chacha_algorithm() {
  static const EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "ChaCha20", nullptr);
  COVEY_CHECK(algorithm != nullptr);
  return algorithm;
}

// `counter` plus a number of blocks, as a 128-bit big-endian integer.
std::array<std::uint8_t, 16> advanced(std::array<std::uint8_t, 16> counter, std::uint64_t blocks) {
  unsigned carry = 0;
  for (std::size_t i = counter.size(); i > 0; --i) {
    const unsigned sum = counter[i - 1] + static_cast<unsigned>(blocks & 0xff) + carry;
    counter[i - 1] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
    blocks >>= 8;
  }
  return counter;
}

}  // namespace

struct Prg::State {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::array<std::uint8_t, 16> counter{};
  PrgCipher cipher = PrgCipher::kAes256Ctr;
  ~State() { EVP_CIPHER_CTX_free(context); }  // OpenSSL wipes the key schedule
};

Prg::Prg(const Secret<32>& seed, PrgCipher cipher) : Prg(seed, {}, cipher) {}
Prg::Prg(const Secret<32>& seed, const std::array<std::uint8_t, 16>& counter)
    : Prg(seed, counter, PrgCipher::kAes256Ctr) {}

Prg::Prg(const Secret<32>& seed, const std::array<std::uint8_t, 16>& counter, PrgCipher cipher)
    : state_(std::make_unique<State>()) {
  COVEY_CHECK(state_->context != nullptr);
  state_->counter = counter;
  state_->cipher = cipher;
  const EVP_CIPHER* const algorithm = cipher == PrgCipher::kAes256Ctr ? aes_algorithm() : chacha_algorithm();
  COVEY_CHECK(EVP_EncryptInit_ex2(state_->context, algorithm, seed.expose().data(), counter.data(), nullptr) == 1);
}
Prg::~Prg() = default;
Prg::Prg(Prg&&) noexcept = default;
Prg& Prg::operator=(Prg&&) noexcept = default;

void Prg::fill(std::span<std::uint8_t> out) {
  COVEY_CHECK(state_ != nullptr);
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kPieceBytes));
    int written = 0;
    COVEY_CHECK(EVP_EncryptUpdate(state_->context, piece.data(), &written, zeros,
                                  static_cast<int>(piece.size())) == 1);
    COVEY_CHECK(static_cast<std::size_t>(written) == piece.size());
    out = out.subspan(piece.size());
  }
}

void Prg::xor_into(std::span<std::uint8_t> inout) {
  COVEY_CHECK(state_ != nullptr);
  while (!inout.empty()) {
    const auto piece = inout.first(std::min(inout.size(), kPieceBytes));
    int written = 0;
    COVEY_CHECK(EVP_EncryptUpdate(state_->context, piece.data(), &written, piece.data(),
                                  static_cast<int>(piece.size())) == 1);
    COVEY_CHECK(static_cast<std::size_t>(written) == piece.size());
    inout = inout.subspan(piece.size());
  }
}

void Prg::seek(std::uint64_t offset_bytes) {
  COVEY_CHECK(state_ != nullptr);
  std::array<std::uint8_t, 16> block{};
  std::size_t block_bytes = kBlockBytes;
  if (state_->cipher == PrgCipher::kAes256Ctr) {
    block = advanced(state_->counter, offset_bytes / kBlockBytes);
  } else {  // the counter is the first 8 bytes, little-endian, and starts at zero
    block_bytes = kChaChaBlockBytes;
    const std::uint64_t at = offset_bytes / kChaChaBlockBytes;
    for (std::size_t i = 0; i < 8; ++i) block[i] = static_cast<std::uint8_t>(at >> (8 * i));
  }
  COVEY_CHECK(EVP_EncryptInit_ex2(state_->context, nullptr, nullptr, block.data(), nullptr) == 1);
  std::array<std::uint8_t, kChaChaBlockBytes> skipped{};
  xor_into(std::span(skipped).first(offset_bytes % block_bytes));
}

}  // namespace covey
