#include "core/data/bpe/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <unordered_map>

#include "core/base/check.h"
#include "core/data/bpe/merge_table.h"
#include "core/data/files.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

constexpr TextToken kNoToken = ~TextToken{0};

// Finds added tokens in text: of those that begin first, the longest. Views of the tokens it is given are kept.
class AddedFinder {
 public:
  void add(const AddedToken& token) {
    id_of_.emplace(token.content, token.id);
    std::vector<std::size_t>& lengths = lengths_[static_cast<std::uint8_t>(token.content[0])];
    const auto place = std::lower_bound(lengths.begin(), lengths.end(), token.content.size(), std::greater<>());
    if (place == lengths.end() || *place != token.content.size()) lengths.insert(place, token.content.size());
  }
  bool any() const { return !id_of_.empty(); }

  struct Found {
    std::size_t at = 0, bytes = 0;
    TextToken id = kNoToken;
  };
  Found find(std::string_view text, std::size_t from) const {
    for (std::size_t at = from; at < text.size(); ++at)
      for (const std::size_t length : lengths_[static_cast<std::uint8_t>(text[at])]) {
        if (length > text.size() - at) continue;
        const auto found = id_of_.find(text.substr(at, length));
        if (found != id_of_.end()) return {at, length, found->second};
      }
    return {text.size(), 0, kNoToken};
  }

 private:
  std::unordered_map<std::string_view, TextToken> id_of_;
  std::array<std::vector<std::size_t>, 256> lengths_;  // by first byte, the longest first, each once
};

// What short pieces were cut into. A piece has one place; a newcomer takes it.
class PieceCache {
 public:
  static constexpr std::size_t kBytesMax = 23, kTokensMax = 6;
  PieceCache() : slots_(kSlots) {}

  struct Slot {
    std::uint8_t bytes = 0, tokens = 0;  // no token: empty
    char piece[kBytesMax] = {};
    TextToken ids[kTokensMax] = {};
  };
  Slot& slot_of(std::string_view piece) {
    std::uint64_t words[3] = {};
    std::memcpy(words, piece.data(), piece.size());
    std::uint64_t hash = words[0] * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 29 ^ words[1]) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 32 ^ words[2]) * 0x94d049bb133111ebu;
    return slots_[hash >> (64 - kSlotBits)];
  }

 private:
  static constexpr unsigned kSlotBits = 15;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  std::vector<Slot> slots_;
};

}  // namespace

struct Tokenizer::Tables {
  explicit Tables(TokenizerSpec s) : spec(std::move(s)), merges(spec.merges.size()) {
    byte_ids.fill(kNoToken);
  }
  TokenizerSpec spec;
  MergeTable merges;
  std::array<TextToken, 256> byte_ids;
  std::unordered_map<std::string_view, TextToken> id_of;  // of spec.tokens
  AddedFinder as_is, normalized;
  std::vector<const AddedToken*> added_of;  // by id; nullptr: not added
};

struct TokenEncoder::Work {
  explicit Work(const MergeTable& table) : merger(table) {}
  Merger merger;
  PieceCache cache;
  std::vector<TextToken> symbols;
  std::string spaced;
  TokenIds out;
};

namespace {

Result<void> fill_tokens(const TokenizerSpec& spec, std::array<TextToken, 256>& byte_ids,
                         std::unordered_map<std::string_view, TextToken>& id_of) {
  if (spec.tokens.size() > kVocabularyMax)
    return invalid("the vocabulary has " + std::to_string(spec.tokens.size()) + " tokens, at most " +
                   std::to_string(kVocabularyMax) + " are read");
  for (TextToken id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (token.empty()) return invalid("token " + std::to_string(id) + " is empty");
    if (!id_of.emplace(token, id).second) return invalid("token " + shown(token) + " is there twice");
    if (token.size() == 1) byte_ids[static_cast<std::uint8_t>(token[0])] = id;
  }
  for (std::size_t byte = 0; byte < 256; ++byte)
    if (byte_ids[byte] == kNoToken)
      return invalid("the vocabulary lacks the byte " + std::to_string(byte) +
                     ": a byte-level vocabulary holds all 256");
  return {};
}

Result<void> fill_merges(const TokenizerSpec& spec,
                         const std::unordered_map<std::string_view, TextToken>& id_of, MergeTable& table) {
  for (std::uint32_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto [left, right] = spec.merges[rank];
    if (left >= spec.tokens.size() || right >= spec.tokens.size())
      return invalid("merge " + std::to_string(rank) + " is of a token that the vocabulary lacks");
    const std::string merged = spec.tokens[left] + spec.tokens[right];
    const auto at = id_of.find(merged);
    if (at == id_of.end())
      return invalid("merge " + std::to_string(rank) + " makes " + shown(merged) +
                     ", which the vocabulary lacks");
    table.put(left, right, {rank, at->second});
  }
  return {};
}

// Ids that `tokenizers` would give, so that what we write means the same there.
Result<void> check_added(const TokenizerSpec& spec,
                         const std::unordered_map<std::string_view, TextToken>& id_of) {
  std::size_t next = spec.tokens.size();
  std::unordered_map<std::string_view, TextToken> seen;
  for (const AddedToken& token : spec.added) {
    if (token.content.empty()) return invalid("added token " + std::to_string(token.id) + " is empty");
    if (!seen.emplace(token.content, token.id).second)
      return invalid("added token " + shown(token.content) + " is there twice");
    const auto known = id_of.find(token.content);
    const std::size_t id = known != id_of.end() ? known->second : next++;
    if (token.id != id)
      return invalid("added token " + shown(token.content) + " has id " + std::to_string(token.id) + ", " +
                     std::to_string(id) + " is needed there");
  }
  if (next > kVocabularyMax)
    return invalid("more than " + std::to_string(kVocabularyMax) + " tokens with those that are added");
  for (const TokenIds* around : {&spec.before, &spec.after})
    for (const TextToken id : *around)
      if (id >= next)
        return invalid("the token " + std::to_string(id) + " around a document is out of range");
  return {};
}

}  // namespace

std::uint32_t TokenizerSpec::vocabulary() const {
  std::size_t count = tokens.size();
  for (const AddedToken& token : added) count = std::max<std::size_t>(count, std::size_t{token.id} + 1);
  return static_cast<std::uint32_t>(count);
}

TokenizerSpec byte_tokenizer() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back({static_cast<char>(byte)});
  return spec;
}

Tokenizer::Tokenizer(std::unique_ptr<Tables> tables) : tables_(std::move(tables)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<Tokenizer> Tokenizer::make(TokenizerSpec spec) {
  auto tables = std::make_unique<Tables>(std::move(spec));
  const TokenizerSpec& kept = tables->spec;  // what id_of and added_of point into
  COVEY_TRY_VOID(fill_tokens(kept, tables->byte_ids, tables->id_of));
  COVEY_TRY_VOID(fill_merges(kept, tables->id_of, tables->merges));
  COVEY_TRY_VOID(check_added(kept, tables->id_of));
  tables->added_of.resize(kept.vocabulary());
  for (const AddedToken& token : kept.added) {
    (token.normalized ? tables->normalized : tables->as_is).add(token);
    tables->added_of[token.id] = &token;
  }
  return Tokenizer(std::move(tables));
}

const TokenizerSpec& Tokenizer::spec() const { return tables_->spec; }
std::uint32_t Tokenizer::vocabulary() const { return static_cast<std::uint32_t>(tables_->added_of.size()); }

Result<std::string> Tokenizer::decode(std::span<const TextToken> ids, Specials specials) const {
  std::string text;
  for (const TextToken id : ids) {
    if (id >= vocabulary())
      return unexpected(ErrorCode::kInvalidArgument, "token " + std::to_string(id) +
                                                         " is out of range, the vocabulary has " +
                                                         std::to_string(vocabulary()));
    const AddedToken* added = tables_->added_of[id];
    if (added != nullptr && added->special && specials == Specials::kSkip) continue;
    text += added != nullptr ? added->content : tables_->spec.tokens[id];
  }
  return text;
}

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer)
    : tables_(*tokenizer.tables_), work_(std::make_unique<Work>(tables_.merges)) {}
TokenEncoder::~TokenEncoder() = default;

TokenIds TokenEncoder::encode(std::string_view text) {
  work_->out.clear();
  for (std::size_t at = 0; at < text.size();) {
    const auto found = tables_.as_is.any() ? tables_.as_is.find(text, at) : AddedFinder::Found{text.size()};
    encode_normalized(text.substr(at, found.at - at));
    if (found.id != kNoToken) work_->out.push_back(found.id);
    at = found.at + found.bytes;
  }
  return work_->out;
}

TokenIds TokenEncoder::encode_document(std::string_view text) {
  TokenIds ids = tables_.spec.before;
  const TokenIds inner = encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), tables_.spec.after.begin(), tables_.spec.after.end());
  return ids;
}

void TokenEncoder::encode_normalized(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto found =
        tables_.normalized.any() ? tables_.normalized.find(text, at) : AddedFinder::Found{text.size()};
    if (found.at != at) encode_stretch(text.substr(at, found.at - at));
    if (found.id != kNoToken) work_->out.push_back(found.id);
    at = found.at + found.bytes;
  }
}

void TokenEncoder::encode_stretch(std::string_view text) {
  if (tables_.spec.prefix_space && text.front() != ' ') {
    work_->spaced = " ";
    work_->spaced += text;
    text = work_->spaced;
  }
  std::vector<TextToken>& symbols = work_->symbols;
  TokenIds& out = work_->out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = piece_end(text, at, tables_.spec.split);
    const std::string_view piece = text.substr(at, end - at);
    at = end;
    PieceCache::Slot* slot = piece.size() <= PieceCache::kBytesMax ? &work_->cache.slot_of(piece) : nullptr;
    if (slot != nullptr && slot->tokens != 0 && slot->bytes == piece.size() &&
        std::memcmp(slot->piece, piece.data(), piece.size()) == 0) {
      out.insert(out.end(), slot->ids, slot->ids + slot->tokens);
      continue;
    }
    symbols.clear();
    const auto whole = tables_.spec.ignore_merges ? tables_.id_of.find(piece) : tables_.id_of.end();
    if (whole != tables_.id_of.end()) {
      symbols.push_back(whole->second);
    } else {
      for (const char c : piece) symbols.push_back(tables_.byte_ids[static_cast<std::uint8_t>(c)]);
      symbols.resize(work_->merger.merge(symbols));
    }
    out.insert(out.end(), symbols.begin(), symbols.end());
    if (slot != nullptr && symbols.size() <= PieceCache::kTokensMax) {
      slot->bytes = static_cast<std::uint8_t>(piece.size());
      slot->tokens = static_cast<std::uint8_t>(symbols.size());
      std::copy(piece.begin(), piece.end(), slot->piece);
      std::copy(symbols.begin(), symbols.end(), slot->ids);
    }
  }
}

}  // namespace covey
