// Secrets on disk: one line of text, readable by their owner alone.
//   <kind> <hex>\n        e.g. "covey-signing-key-v1 0123..."
#pragma once
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

inline constexpr std::size_t kKeyFileSecretBytesMax = 64;

// Creates `path` with mode 0600; durable when it returns.
// Errors: kAlreadyExists (a key is never overwritten), kDiskFull, kPermissionDenied.
Result<void> save_key_file(const std::string& path, std::string_view kind,
                           std::span<const std::uint8_t> secret);
// Errors: kNotFound; kPermissionDenied when others may read it; kInvalidData when it holds
// something else.
Result<void> load_key_file(const std::string& path, std::string_view kind,
                           std::span<std::uint8_t> secret);

template <std::size_t N>
Result<void> save_secret(const std::string& path, std::string_view kind, const Secret<N>& secret) {
  static_assert(N <= kKeyFileSecretBytesMax);
  return save_key_file(path, kind, secret.expose());
}
template <std::size_t N>
Result<Secret<N>> load_secret(const std::string& path, std::string_view kind) {
  static_assert(N <= kKeyFileSecretBytesMax);
  Secret<N> secret;
  COVEY_TRY_VOID(load_key_file(path, kind, secret.expose()));
  return secret;
}

}  // namespace covey
