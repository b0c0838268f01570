// Reading the repository's sources as text, without a compiler.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace covey::lint {

struct Source {
  std::string path;  // from the repository's root, with '/'
  std::string text;
};

struct Include {
  std::string path;  // as written, without the delimiters
  std::size_t line = 0;
  bool quoted = false;  // "..." rather than <...>
  bool operator==(const Include&) const = default;
};

enum class Literals { kKeep, kBlank };

// C++ without comments (and, with kBlank, without the insides of string and character literals),
// blanks in their place, so that lines and columns stay. Knows raw strings and digit separators.
std::string without_comments(std::string_view text, Literals literals);

// Every #include outside comments, in order.
std::vector<Include> includes_of(std::string_view text);

// Lines without their ends. A last line without an end counts.
std::vector<std::string_view> lines_of(std::string_view text);

// Whether `word` occurs in `line` with no letter, digit or '_' on either side.
bool has_word(std::string_view line, std::string_view word);

std::vector<std::string_view> words_of(std::string_view blank_separated);

// All text files that belong to the repository: those git knows or would add, or, without git,
// everything but build trees. Sorted by path.
std::vector<Source> read_repository(const std::string& root);

}  // namespace covey::lint
