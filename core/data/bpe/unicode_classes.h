// What a character is to the regular expressions of byte-level tokenizers: \p{L}, \p{N}, \s or none.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace covey {

enum class CharClass : std::uint8_t { kOther, kLetter, kNumber, kSpace };

struct CharRange {
  std::uint32_t first = 0, last = 0;
};
std::span<const CharRange> letter_ranges();  // ascending; unicode_ranges.cpp
std::span<const CharRange> number_ranges();
std::span<const CharRange> space_ranges();

CharClass class_of(char32_t character);  // below 0x110000

struct Utf8Char {
  char32_t character = 0;
  CharClass kind = CharClass::kOther;
  std::uint8_t bytes = 0;
};
// The character at text[at], at < text.size(). A byte that begins no valid UTF-8 (RFC 3629: no
// surrogates, nothing overlong) is a character of its own of class kOther, 0xfffd.
Utf8Char utf8_at(std::string_view text, std::size_t at);

}  // namespace covey
