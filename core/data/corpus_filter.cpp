#include "core/data/corpus_filter.h"

#include <algorithm>

namespace covey {
namespace {

constexpr double kSeenShareMax = 0.7;

std::uint64_t mixed(std::uint64_t x) {  // SplitMix64's finaliser (Steele, Lea, Flood 2014)
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

bool word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         byte >= 0x80;
}

// Hashes of the lower-case words of `text`.
std::vector<std::uint64_t> word_hashes(std::string_view text) {
  std::vector<std::uint64_t> words;
  std::uint64_t hash = 0;
  bool inside = false;
  const auto end_word = [&] {
    if (inside) words.push_back(hash);
    inside = false;
  };
  for (const char c : text) {
    if (!word_byte(c)) {
      end_word();
      continue;
    }
    if (!inside) hash = 0x9e3779b97f4a7c15u;
    inside = true;
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    hash = mixed(hash ^ static_cast<unsigned char>(lower));
  }
  end_word();
  return words;
}

std::vector<std::uint64_t> shingles_of(const std::vector<std::uint64_t>& words) {
  std::vector<std::uint64_t> shingles;
  for (std::size_t i = 0; i + SeenText::kShingleWords <= words.size(); ++i) {
    std::uint64_t hash = 0;
    for (std::size_t k = 0; k < SeenText::kShingleWords; ++k) hash = mixed(hash + words[i + k]);
    shingles.push_back(hash);
  }
  // A repeated one within a paragraph counts once.
  std::sort(shingles.begin(), shingles.end());
  shingles.erase(std::unique(shingles.begin(), shingles.end()), shingles.end());
  return shingles;
}

// A line of nothing but blanks and marks such as Debian's " ." or a comment's " *".
bool separates(std::string_view line) {
  return line.find_first_not_of(" \t\r\n.#*/-=") == std::string_view::npos;
}

// All of `text`, cut into paragraphs. Separating lines go
// with the paragraph before them as far as an empty line or the start of a comment.
std::vector<std::string_view> paragraphs_of(std::string_view text) {
  std::vector<std::string_view> paragraphs;
  std::size_t begin = 0, end = 0, lines = 0;  // of the paragraph; lines 0: none has begun
  bool closed = false, attaching = false;
  const auto finish = [&](std::size_t at) {
    paragraphs.push_back(text.substr(begin, at - begin));
    begin = at;
    lines = 0;
    closed = false;
  };
  for (std::size_t at = 0, next = 0; at < text.size(); at = next) {
    const std::size_t newline = text.find('\n', at);
    next = newline == std::string_view::npos ? text.size() : newline + 1;
    const std::string_view line = text.substr(at, next - at);
    if (!separates(line)) {
      if (closed) finish(end);
      if (lines == SeenText::kLinesMax) finish(at);
      ++lines;
    } else if (lines != 0) {
      if (!closed) {
        closed = attaching = true;
        end = at;
      }
      attaching = attaching && line.find("/*") == std::string_view::npos;
      if (attaching) end = next;
      attaching = attaching && line.find_first_not_of(" \t\r\n") != std::string_view::npos;
    }
  }
  if (lines != 0) finish(text.size());
  return paragraphs;
}

// Bytes of the UTF-8 character that `rest` starts with, 0 if there is none (RFC 3629, section 4).
std::size_t utf8_length(ByteSpan rest) {
  const std::uint8_t lead = rest[0];
  if (lead < 0x80) return 1;
  const std::size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > rest.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((rest[i] & 0xc0) != 0x80) return 0;
  return length;
}

}  // namespace

std::size_t HashSet64::slot_of(std::uint64_t hash) const {
  std::size_t slot = static_cast<std::size_t>(mixed(hash)) & (slots_.size() - 1);
  while (slots_[slot] != 0 && slots_[slot] != hash) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void HashSet64::grow() {
  std::vector<std::uint64_t> old(std::max<std::size_t>(1024, slots_.size() * 2), 0);
  old.swap(slots_);
  for (const std::uint64_t hash : old)
    if (hash != 0) slots_[slot_of(hash)] = hash;
}

bool HashSet64::insert(std::uint64_t hash) {
  hash |= hash == 0 ? 1u : 0u;
  if (used_ * 3 >= slots_.size() * 2) grow();
  std::uint64_t& slot = slots_[slot_of(hash)];
  if (slot == hash) return false;
  slot = hash;
  ++used_;
  return true;
}

bool HashSet64::contains(std::uint64_t hash) const {
  hash |= hash == 0 ? 1u : 0u;
  return !slots_.empty() && slots_[slot_of(hash)] == hash;
}

SeenText::Kept SeenText::keep_new(std::string_view text) {
  Kept kept;
  std::string waiting;  // short paragraphs before the first that can be judged
  std::uint64_t waiting_count = 0;
  bool judged = false, keep = false;
  for (const std::string_view paragraph : paragraphs_of(text)) {
    const std::vector<std::uint64_t> shingles = shingles_of(word_hashes(paragraph));
    if (shingles.empty() && !judged) {
      waiting.append(paragraph);
      ++waiting_count;
      continue;
    }
    if (!shingles.empty()) {
      const auto seen = std::count_if(shingles.begin(), shingles.end(),
                                      [&](std::uint64_t hash) { return shingles_.contains(hash); });
      keep = static_cast<double>(seen) <= kSeenShareMax * static_cast<double>(shingles.size());
      if (keep)
        for (const std::uint64_t hash : shingles) shingles_.insert(hash);
      if (!judged && keep) kept.text = std::move(waiting);
      if (!judged) (keep ? kept.paragraphs_kept : kept.paragraphs_dropped) += waiting_count;
      judged = true;
    }
    ++(keep ? kept.paragraphs_kept : kept.paragraphs_dropped);
    if (!keep) continue;
    kept.text.append(paragraph);
  }
  if (!judged) kept.paragraphs_dropped += waiting_count;
  if (!kept.text.empty() && !kept.text.ends_with('\n')) kept.text += '\n';
  return kept;
}

bool looks_binary(ByteSpan bytes) {
  std::size_t invalid = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    if (bytes[i] == 0) return true;
    const std::size_t length = utf8_length(bytes.subspan(i));
    invalid += length == 0 ? 1 : 0;
    i += std::max<std::size_t>(length, 1);
  }
  return invalid > bytes.size() / 100;
}

}  // namespace covey
