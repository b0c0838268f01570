// Cutting text into the pieces within which byte pairs are merged, as the regular expressions of GPT-2
// and Llama 3 do, written out by hand: no backtracking, one pass.
#pragma once
#include <cstdint>
#include <string_view>

namespace covey {

enum class SplitRule : std::uint8_t {
  kWhole,   // one piece
  kGpt2,    // Radford et al. 2019, encoder.py
  kLlama3,  // Grattafiori et al. 2024 (tiktoken's cl100k with \p{N}{1,3})
};

// The expressions as tokenizer.json writes them.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Where the piece that begins at `at` ends, at < text.size(). Pieces cover the text. Bytes that are not
// UTF-8 are neither space, letter nor number.
std::size_t piece_end(std::string_view text, std::size_t at, SplitRule rule);

}  // namespace covey
