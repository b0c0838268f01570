#include "core/crypto/agreement_key.h"

#include <algorithm>

#include "core/crypto/primitives.h"
#include "core/crypto/x25519_lanes.h"

namespace covey {
namespace {

Unexpected small_order(const AgreementPublicKey& peer) {
  return unexpected(ErrorCode::kInvalidMessage, "agreement key " + short_hex(peer) + " is a point of small order: refused");
}

}  // namespace

AgreementKey::AgreementKey(Secret<32> secret, const AgreementPublicKey& public_key)
    : secret_(std::move(secret)), public_key_(public_key) {}

AgreementKey AgreementKey::generate(SecureRandom& random) {
  return from_secret(Secret<32>::random(random));
}

AgreementKey AgreementKey::from_secret(Secret<32> secret) {
  const AgreementPublicKey public_key{primitives::x25519_public(secret)};
  return AgreementKey(std::move(secret), public_key);
}

Result<Secret<32>> AgreementKey::shared_secret(const AgreementPublicKey& peer) const {
  std::optional<Secret<32>> shared = primitives::x25519(secret_, peer.bytes);
  if (!shared)
    return small_order(peer);
  return std::move(*shared);
}

Result<std::vector<Secret<32>>> AgreementKey::shared_secrets(std::span<const AgreementPublicKey> peers) const {
  std::vector<Secret<32>> all;
  all.reserve(peers.size());
  if (!primitives::has_x25519_lanes()) {
    for (const AgreementPublicKey& peer : peers) {
      COVEY_TRY(Secret<32> shared, shared_secret(peer));
      all.push_back(std::move(shared));
    }
    return all;
  }
  constexpr std::size_t kLanes = primitives::kX25519Lanes;
  for (std::size_t begin = 0; begin < peers.size(); begin += kLanes) {
    const std::size_t some = std::min(kLanes, peers.size() - begin);
    primitives::X25519Batch keys, shared;
    for (std::size_t lane = 0; lane < kLanes; ++lane) keys[lane] = peers[begin + std::min(lane, some - 1)].bytes;
    primitives::x25519_lanes(secret_.expose(), keys, shared);
    for (std::size_t lane = 0; lane < some; ++lane) {
      std::uint8_t any = 0;
      for (const std::uint8_t byte : shared[lane]) any |= byte;
      if (any == 0) return small_order(peers[begin + lane]);
      all.emplace_back(shared[lane]);
    }
    for (auto& one : shared) wipe(one);
  }
  return all;
}

}  // namespace covey
