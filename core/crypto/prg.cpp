#include "core/crypto/prg.h"

#include <openssl/evp.h>

#include <algorithm>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr std::size_t kPieceBytes = 32 * 1024;  // stays in the first-level cache between passes
constexpr std::size_t kBlockBytes = 16;

const EVP_CIPHER* aes_algorithm() {  // looked up once, as in digest.cpp
  static const EVP_CIPHER* const algorithm = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
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
  ~State() { EVP_CIPHER_CTX_free(context); }  // OpenSSL wipes the key schedule
};

Prg::Prg(const Secret<32>& seed) : Prg(seed, std::array<std::uint8_t, 16>{}) {}

Prg::Prg(const Secret<32>& seed, const std::array<std::uint8_t, 16>& counter)
    : state_(std::make_unique<State>()) {
  COVEY_CHECK(state_->context != nullptr);
  state_->counter = counter;
  COVEY_CHECK(EVP_EncryptInit_ex2(state_->context, aes_algorithm(), seed.expose().data(),
                                  counter.data(), nullptr) == 1);
}
Prg::~Prg() = default;
Prg::Prg(Prg&&) noexcept = default;
Prg& Prg::operator=(Prg&&) noexcept = default;

void Prg::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kPieceBytes));
    std::fill(piece.begin(), piece.end(), std::uint8_t{0});
    xor_into(piece);
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
  const auto block = advanced(state_->counter, offset_bytes / kBlockBytes);
  COVEY_CHECK(EVP_EncryptInit_ex2(state_->context, nullptr, nullptr, block.data(), nullptr) == 1);
  std::array<std::uint8_t, kBlockBytes> skipped{};
  xor_into(std::span(skipped).first(offset_bytes % kBlockBytes));
}

}  // namespace covey
