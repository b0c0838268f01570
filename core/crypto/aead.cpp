#include "core/crypto/aead.h"

#include "core/base/wire.h"
#include "core/crypto/primitives.h"

namespace covey {
namespace {

using Nonce = std::array<std::uint8_t, primitives::kXchachaNonceBytes>;
static_assert(kAeadOverheadBytes == primitives::kXchachaNonceBytes + primitives::kXchachaTagBytes);

Bytes associated(const AeadContext& context) {
  return ByteWriter().raw(bytes_of("covey aead v1")).text(context.domain).raw(context.data).take();
}

}  // namespace

Bytes Aead::seal(ByteSpan text, const AeadContext& context, SecureRandom& random) const {
  Nonce nonce{};
  random.fill(nonce);
  const Bytes covered = associated(context);
  const Bytes body = primitives::xchacha_seal(key_, {nonce, covered, text});
  return ByteWriter().raw(nonce).raw(body).take();
}

Result<Bytes> Aead::open(ByteSpan sealed, const AeadContext& context) const {
  if (sealed.size() < kAeadOverheadBytes)
    return unexpected(ErrorCode::kInvalidMessage,
                      "sealed text of " + std::to_string(sealed.size()) + " bytes: at least " +
                          std::to_string(kAeadOverheadBytes) + " are needed");
  Nonce nonce{};
  std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
  const Bytes covered = associated(context);
  auto text = primitives::xchacha_open(key_, {nonce, covered, sealed.subspan(nonce.size())});
  if (!text)
    return unexpected(ErrorCode::kInvalidMessage,
                      "sealed text for '" + std::string(context.domain) +
                          "' does not verify: changed, or sealed under another key or context");
  return std::move(*text);
}

}  // namespace covey
