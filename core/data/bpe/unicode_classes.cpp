#include "core/data/bpe/unicode_classes.h"

#include <vector>

namespace covey {
namespace {

constexpr std::size_t kCharacters = 0x110000;

// One byte a character: what real text uses of it stays in the cache.
const CharClass* class_table() {
  static const std::vector<CharClass> table = [] {
    std::vector<CharClass> made(kCharacters, CharClass::kOther);
    const auto mark = [&](std::span<const CharRange> ranges, CharClass kind) {
      for (const CharRange& range : ranges)
        for (std::uint32_t c = range.first; c <= range.last; ++c) made[c] = kind;
    };
    mark(letter_ranges(), CharClass::kLetter);
    mark(number_ranges(), CharClass::kNumber);
    mark(space_ranges(), CharClass::kSpace);
    return made;
  }();
  return table.data();
}

constexpr Utf8Char kInvalid{0xfffd, CharClass::kOther, 1};

Utf8Char long_char_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[at + i]); };
  const std::uint8_t lead = byte(0);
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || bytes > text.size() - at) return kInvalid;
  char32_t character = lead & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return kInvalid;
    character = character << 6 | (byte(i) & 0x3fu);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < kLeast[bytes] || character >= kCharacters || (character >= 0xd800 && character < 0xe000))
    return kInvalid;
  return {character, class_of(character), static_cast<std::uint8_t>(bytes)};
}

}  // namespace

CharClass class_of(char32_t character) { return class_table()[character]; }

Utf8Char utf8_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<std::uint8_t>(text[at]);
  if (lead < 0x80) return {lead, class_of(lead), 1};
  return long_char_at(text, at);
}

}  // namespace covey
