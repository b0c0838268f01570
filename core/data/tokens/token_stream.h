// Token files as an endless stream of windows of a fixed length, in an order that a seed gives: the same
// windows for the same seed and files, from any point on, on any machine. Memory: one document.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/tokens/token_shard.h"

namespace covey {

// Where a stream is: what is read next. A plain value, to be kept with the training state.
struct TokenCursor {
  std::uint64_t epoch = 0;
  std::uint32_t shard = 0;         // place in the epoch's order of files
  std::uint32_t record = 0;        // place in the file's order of documents
  std::uint32_t token = 0;         // of that document; its separator counts as its last one
  std::uint64_t damaged = 0;       // passed over in this epoch
  std::optional<TextToken> carried;  // the last token of the window before: the next one's first
  bool operator==(const TokenCursor&) const = default;
};
Bytes encode(const TokenCursor& cursor);
Result<TokenCursor> token_cursor_from(ByteSpan bytes);  // kCorrupted

// Which documents of the files are read: a seeded share of them is held out, of any file's documents but the
// first of the first file, which is never.
enum class DocumentPart : std::uint8_t { kAll, kTrain, kHoldout };

struct PackingSpec {
  std::uint32_t context = 0;         // T: tokens of a window's input
  std::uint32_t vocabulary = 0;      // of the model: at least that of the files
  std::optional<TextToken> separator;  // after each document
  std::uint64_t damaged_max = 100;   // records passed over in an epoch before it is an error
  DocumentPart part = DocumentPart::kAll;
  double holdout = 0;                // share of the documents that is held out
  std::uint64_t holdout_seed = 0;
  bool takes(std::uint32_t file, std::uint32_t record) const;  // whether `part` has that document
};

class TokenStream {
 public:
  // `path`: a file, or a folder whose *.tokens are read. Errors: kNotFound, kInvalidData (no files; a
  // file of a larger vocabulary), kInvalidArgument (context, separator).
  static Result<TokenStream> open(const std::string& path, const PackingSpec& packing, std::uint64_t seed);
  ~TokenStream();
  TokenStream(TokenStream&&) noexcept;
  TokenStream& operator=(TokenStream&&) noexcept;

  const TokenCursor& cursor() const;
  // Tokens of an epoch, with separators, as the files' headers say: reads them all. Errors: of the disk.
  Result<std::uint64_t> tokens_in_epoch() const;
  // Continues where another stream over the same files, with the same packing and seed, was.
  // Errors: kInvalidArgument for a cursor that these files cannot have had.
  Result<void> seek(const TokenCursor& cursor);

  // Fills both [T]: targets are the tokens one further on. Windows follow one another without a gap,
  // over documents, files and epochs. Errors: kInvalidData (more damage in an epoch than `damaged_max`,
  // with the file last damaged; an epoch without a token). The cursor then stays where it was.
  Result<void> next(std::span<std::int32_t> inputs, std::span<std::int32_t> targets);
  // Damaged records since it was opened, over the ends of epochs.
  std::uint64_t passed_over() const;

 private:
  struct State;
  explicit TokenStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The same files as a Dataset, all in memory (2 or 4 bytes a token), in the order of their names: windows
// of `context`, within one file, the last one padded with targets of -1. groups() are the files.
// Errors: as TokenStream's; more than kDataBytesMax.
Result<std::unique_ptr<Dataset>> load_tokens(const std::string& path, const PackingSpec& packing);
// What a document is in files of text. kWhole: every regular file at or below a path. kLines: the member `field` of
// each line of *.jsonl, or of the file that is named itself (jsonl.h).
enum class TextForm : std::uint8_t { kWhole, kLines };
struct TextFiles {
  TextForm form = TextForm::kWhole;
  std::string field = "text";
};
// The same of text, encoded while it is loaded; damaged lines count as damaged records.
Result<std::unique_ptr<Dataset>> load_encoded_text(const std::string& path, const PackingSpec& packing,
                                                   const TextFiles& text, const Tokenizer& tokenizer);

}  // namespace covey
