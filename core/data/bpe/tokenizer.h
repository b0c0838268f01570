// Byte-level BPE (Radford et al. 2019) as Hugging Face's `tokenizers` does it: the same ids for every
// text, and for bytes that are not text too. A vocabulary of bytes is the case without merges.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/data/bpe/pre_split.h"

namespace covey {

using TextToken = std::uint32_t;
using TokenIds = std::vector<TextToken>;

inline constexpr std::size_t kVocabularyMax = 1 << 22;  // tokens

// A token that text holds as it stands, cut out before the rest is split.
struct AddedToken {
  TextToken id = 0;
  std::string content;
  bool special = false;     // left out by Specials::kSkip
  bool normalized = false;  // looked for after those that are not
  bool operator==(const AddedToken&) const = default;
};

// What tokenizer.json says, as a value.
struct TokenizerSpec {
  std::vector<std::string> tokens;                  // bytes of each id; all 256 single bytes are there
  std::vector<std::pair<TextToken, TextToken>> merges;  // first is merged first
  std::vector<AddedToken> added;                    // of tokens, or ids that follow them
  SplitRule split = SplitRule::kGpt2;
  bool prefix_space = false;   // a blank before a stretch that begins without one
  bool ignore_merges = false;  // a piece that is a token is that token
  TokenIds before, after;      // around a document
  bool operator==(const TokenizerSpec&) const = default;
  std::uint32_t vocabulary() const;  // ids are below it
};

// 256 tokens, each a byte whose value is its id; no merges.
TokenizerSpec byte_tokenizer();

// tokenizer.json of `tokenizers` (Hugging Face), byte-level BPE without normaliser. At most
// kTokenizerBytesMax. Errors: kInvalidData (structure, a merge of unknown tokens, a missing byte),
// kUnsupported (a part we do not have, by its name: another model, a normaliser, a pattern ...).
inline constexpr std::size_t kTokenizerBytesMax = 64 << 20;
Result<TokenizerSpec> parse_tokenizer_json(std::string_view json);
// Opens in `tokenizers` and encodes alike there. `spec` is valid.
std::string to_tokenizer_json(const TokenizerSpec& spec);

// The letters in which tokenizer.json and GGUF write bytes (GPT-2's bytes_to_unicode), UTF-8.
std::string byte_letters(std::string_view bytes);
// kInvalidData where `letters` has one that stands for no byte.
Result<std::string> bytes_of_letters(std::string_view letters);

class Tokenizer {  // immutable; shared by threads
 public:
  // Errors: kInvalidData naming the token or merge.
  static Result<Tokenizer> make(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  const TokenizerSpec& spec() const;
  std::uint32_t vocabulary() const;  // ids are below it

  enum class Specials { kKeep, kSkip };
  // The bytes of the tokens, one after the other. Errors: kInvalidArgument for an id out of range.
  Result<std::string> decode(std::span<const TextToken> ids, Specials specials) const;

 private:
  friend class TokenEncoder;
  struct Tables;
  explicit Tokenizer(std::unique_ptr<Tables> tables);
  std::unique_ptr<Tables> tables_;
};

// Encodes for one thread: holds a cache of pieces that it met. `tokenizer` outlives it.
class TokenEncoder {
 public:
  explicit TokenEncoder(const Tokenizer& tokenizer);
  ~TokenEncoder();
  TokenEncoder(const TokenEncoder&) = delete;
  TokenEncoder& operator=(const TokenEncoder&) = delete;

  TokenIds encode(std::string_view text);           // added tokens in the text are recognised
  TokenIds encode_document(std::string_view text);  // with spec().before and after around it

 private:
  struct Work;
  void encode_stretch(std::string_view text);
  void encode_normalized(std::string_view text);
  const Tokenizer::Tables& tables_;
  std::unique_ptr<Work> work_;
};

}  // namespace covey
