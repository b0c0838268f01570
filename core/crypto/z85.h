// ZeroMQ's text form of binary keys (RFC 32/Z85): 4 bytes to 5 characters, most significant first.
#pragma once
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace covey {

// `bytes` must be a multiple of 4 long.
std::string z85(ByteSpan bytes);
// Writes into `text`, which is bytes.size() / 4 * 5 long: for secrets, which must not pass
// through a string.
void z85_into(ByteSpan bytes, std::span<std::uint8_t> text);

// Errors: kInvalidData for a wrong length, a foreign character, or a group above 2^32 - 1.
Result<Bytes> from_z85(std::string_view text);
// Into `bytes`, which is text.size() / 5 * 4 long or the length is wrong.
Result<void> from_z85_into(std::string_view text, std::span<std::uint8_t> bytes);

}  // namespace covey
