#include "core/data/bpe/pre_split.h"

#include "core/base/check.h"
#include "core/data/bpe/unicode_classes.h"

namespace covey {
namespace {

bool newline(const Utf8Char& c) { return c.character == '\r' || c.character == '\n'; }

// Past the longest run of characters of `kind`, at most `most` of them.
std::size_t run_end(std::string_view text, std::size_t at, CharClass kind,
                    std::size_t most = ~std::size_t{0}) {
  for (; at < text.size() && most > 0; --most) {
    const Utf8Char c = utf8_at(text, at);
    if (c.kind != kind) break;
    at += c.bytes;
  }
  return at;
}

// \s+(?!\S)|\s+ : a run of spaces leaves its last one to what follows, unless it has only one.
std::size_t spaces_end(std::string_view text, std::size_t at) {
  std::size_t last = at, end = at;
  while (end < text.size()) {
    const Utf8Char c = utf8_at(text, end);
    if (c.kind != CharClass::kSpace) break;
    last = end;
    end += c.bytes;
  }
  return end == text.size() || last == at ? end : last;
}

// 's|'t|'re|'ve|'m|'ll|'d after an apostrophe at `at`; `at` where there is none. `fold` makes a letter
// of it that is compared.
template <class Fold>
std::size_t contraction_end(std::string_view text, std::size_t at, Fold fold) {
  if (at + 1 >= text.size()) return at;
  const Utf8Char first = utf8_at(text, at + 1);
  const std::size_t next = at + 1 + first.bytes;
  const char32_t a = fold(first.character);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return next;
  if ((a != 'r' && a != 'v' && a != 'l') || next >= text.size()) return at;
  const char32_t b = fold(utf8_at(text, next).character);
  const bool fits = a == 'l' ? b == 'l' : b == 'e';
  return fits ? next + utf8_at(text, next).bytes : at;
}

std::size_t gpt2_end(std::string_view text, std::size_t at) {
  if (text[at] == '\'') {
    const std::size_t end = contraction_end(text, at, [](char32_t c) { return c; });
    if (end != at) return end;
  }
  const std::size_t start = text[at] == ' ' ? at + 1 : at;
  if (start < text.size()) {
    const Utf8Char c = utf8_at(text, start);
    if (c.kind != CharClass::kSpace) return run_end(text, start + c.bytes, c.kind);
  }
  return spaces_end(text, at);
}

// Simple case folding as far as the contractions' letters need it: U+017F is a long s.
char32_t folded(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 32;
  return c == 0x17f ? U's' : c;
}

// \s*[\r\n]+ : past the last newline of the run of spaces at `at`; `at` where it has none.
std::size_t newlines_end(std::string_view text, std::size_t at) {
  std::size_t end = at;
  for (std::size_t i = at; i < text.size();) {
    const Utf8Char c = utf8_at(text, i);
    if (c.kind != CharClass::kSpace) break;
    i += c.bytes;
    if (newline(c)) end = i;
  }
  return end;
}

std::size_t llama3_end(std::string_view text, std::size_t at) {
  const Utf8Char first = utf8_at(text, at);
  if (first.character == '\'') {
    const std::size_t end = contraction_end(text, at, folded);
    if (end != at) return end;
  }
  const std::size_t second = at + first.bytes;
  if (first.kind == CharClass::kLetter) return run_end(text, second, CharClass::kLetter);
  if (first.kind == CharClass::kNumber) return run_end(text, at, CharClass::kNumber, 3);
  if (!newline(first)) {
    const std::size_t end = run_end(text, second, CharClass::kLetter);
    if (end != second) return end;
  }
  const std::size_t marks = first.character == ' ' ? second : at;
  const std::size_t marks_end = run_end(text, marks, CharClass::kOther);
  if (marks_end != marks) {
    std::size_t end = marks_end;
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  const std::size_t end = newlines_end(text, at);
  return end != at ? end : spaces_end(text, at);
}

}  // namespace

std::size_t piece_end(std::string_view text, std::size_t at, SplitRule rule) {
  COVEY_CHECK(at < text.size());
  switch (rule) {
    case SplitRule::kWhole:
      return text.size();
    case SplitRule::kGpt2:
      return gpt2_end(text, at);
    case SplitRule::kLlama3:
      return llama3_end(text, at);
  }
  return text.size();
}

}  // namespace covey
