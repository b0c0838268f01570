// GPT-2's alphabet of bytes: printable ones of Latin-1 stand for themselves, the other 68 are U+0100 on.
#include <array>
#include <unordered_map>

#include "core/data/bpe/tokenizer.h"
#include "core/data/bpe/unicode_classes.h"
#include "core/data/files.h"

namespace covey {
namespace {

struct Alphabet {
  std::array<std::string, 256> letters;  // UTF-8
  std::array<std::int16_t, 512> bytes;   // of a character; -1: none
};

const Alphabet& alphabet() {
  static const Alphabet made = [] {
    Alphabet a;
    a.bytes.fill(-1);
    std::uint32_t next = 256;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      const std::uint32_t c = printable ? byte : next++;
      a.bytes[c] = static_cast<std::int16_t>(byte);
      if (c < 0x80)
        a.letters[byte] = {static_cast<char>(c)};
      else
        a.letters[byte] = {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    }
    return a;
  }();
  return made;
}

}  // namespace

std::string byte_letters(std::string_view bytes) {
  std::string letters;
  for (const char c : bytes) letters += alphabet().letters[static_cast<std::uint8_t>(c)];
  return letters;
}

Result<std::string> bytes_of_letters(std::string_view letters) {
  std::string bytes;
  for (std::size_t at = 0; at < letters.size();) {
    const Utf8Char c = utf8_at(letters, at);
    const int byte = c.character < 512 ? alphabet().bytes[c.character] : -1;
    if (byte < 0)
      return unexpected(ErrorCode::kInvalidData, "token " + shown(letters) + " has " +
                                                     shown(letters.substr(at, c.bytes)) +
                                                     ", which is no letter of the byte-level alphabet");
    bytes += static_cast<char>(byte);
    at += c.bytes;
  }
  return bytes;
}

}  // namespace covey
