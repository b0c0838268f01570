#include "core/crypto/z85.h"

namespace covey {
namespace {

constexpr std::string_view kDigits =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
static_assert(kDigits.size() == 85);

}  // namespace

void z85_into(ByteSpan bytes, std::span<std::uint8_t> text) {
  COVEY_CHECK(bytes.size() % 4 == 0 && text.size() == bytes.size() / 4 * 5);
  for (std::size_t group = 0; group < bytes.size() / 4; ++group) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[group * 4 + i];
    for (std::size_t i = 5; i > 0; --i) {
      text[group * 5 + i - 1] = static_cast<std::uint8_t>(kDigits[value % 85]);
      value /= 85;
    }
  }
}

std::string z85(ByteSpan bytes) {
  std::string text(bytes.size() / 4 * 5, '\0');
  z85_into(bytes, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return text;
}

Result<void> from_z85_into(std::string_view text, std::span<std::uint8_t> bytes) {
  if (text.size() % 5 != 0 || text.size() / 5 * 4 != bytes.size())
    return unexpected(ErrorCode::kInvalidData, "Z85 text of " + std::to_string(text.size()) +
                                                   " characters: expected " +
                                                   std::to_string((bytes.size() + 3) / 4 * 5));
  for (std::size_t group = 0; group < text.size() / 5; ++group) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      const std::size_t digit = kDigits.find(text[group * 5 + i]);
      if (digit == std::string_view::npos)
        return unexpected(ErrorCode::kInvalidData, "character " + std::to_string(group * 5 + i + 1) +
                                                       " is not a Z85 digit");
      value = value * 85 + digit;
    }
    if (value > 0xffffffffU)
      return unexpected(ErrorCode::kInvalidData, "Z85 group " + std::to_string(group + 1) +
                                                     " is above 2^32 - 1");
    for (std::size_t i = 0; i < 4; ++i)
      bytes[group * 4 + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  }
  return {};
}

Result<Bytes> from_z85(std::string_view text) {
  Bytes bytes(text.size() / 5 * 4);
  COVEY_TRY_VOID(from_z85_into(text, bytes));
  return bytes;
}

}  // namespace covey
