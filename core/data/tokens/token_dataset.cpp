// Token files as a Dataset, and finding them.
#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/data/files.h"
#include "core/data/jsonl.h"
#include "core/data/readers.h"
#include "core/data/tokens/token_files.h"

namespace covey {
namespace {

// Tokens of one file: windows lie within it.
struct Stretch {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t first_window = 0;
};

class TokenDataset final : public Dataset {
 public:
  TokenDataset(std::uint32_t context, std::uint32_t vocabulary)
      : context_(context), wide_(vocabulary > 65536) {}

  void begin_file(std::string name) {
    stretches_.push_back({size_in_tokens(), size_in_tokens(), windows_});
    groups_.push_back(std::move(name));
  }
  void add(TextToken token) {
    if (wide_)
      wide_tokens_.push_back(token);
    else
      tokens_.push_back(static_cast<std::uint16_t>(token));
  }
  void end_file() {
    Stretch& stretch = stretches_.back();
    stretch.end = size_in_tokens();
    const std::uint64_t count = stretch.end - stretch.begin;
    if (count >= 2)
      windows_ += (count - 2) / context_ + 1;  // a window needs a token and the one that follows
  }
  std::uint64_t size_in_tokens() const { return wide_ ? wide_tokens_.size() : tokens_.size(); }
  std::uint64_t bytes() const { return size_in_tokens() * (wide_ ? 4 : 2); }
  std::uint64_t windows() const { return windows_; }
  void set_damaged(std::uint64_t damaged) { damaged_ = damaged; }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(windows_); }
  Shape input_shape() const override { return {context_}; }
  DType input_dtype() const override { return DType::kI32; }
  Shape target_shape() const override { return {context_}; }
  std::uint32_t label(std::uint32_t) const override { return 0; }
  std::uint32_t group(std::uint32_t index) const override {
    return static_cast<std::uint32_t>(stretch_of(index));
  }
  const std::vector<std::string>& groups() const override { return groups_; }
  std::uint64_t damaged() const override { return damaged_; }

  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    COVEY_CHECK(batch.inputs.shape == Shape({std::ssize(indices), context_}));
    COVEY_CHECK(batch.targets.shape == batch.inputs.shape);
    std::int32_t* inputs = batch.inputs.i32();
    std::int32_t* targets = batch.targets.i32();
    for (const std::uint32_t index : indices) {
      const Stretch& stretch = stretches_[stretch_of(index)];
      const std::uint64_t begin = stretch.begin + (index - stretch.first_window) * context_;
      const std::uint64_t pairs = std::min<std::uint64_t>(context_, stretch.end - begin - 1);
      for (std::uint64_t i = 0; i < context_; ++i) {
        inputs[i] = i < pairs ? at(begin + i) : 0;
        targets[i] = i < pairs ? at(begin + i + 1) : -1;
      }
      inputs += context_;
      targets += context_;
    }
  }

 private:
  std::int32_t at(std::uint64_t i) const {
    return static_cast<std::int32_t>(wide_ ? wide_tokens_[i] : TextToken{tokens_[i]});
  }
  std::size_t stretch_of(std::uint32_t index) const {
    COVEY_CHECK(index < windows_);
    const auto after =
        std::upper_bound(stretches_.begin(), stretches_.end(), index,
                         [](std::uint64_t window, const Stretch& s) { return window < s.first_window; });
    return static_cast<std::size_t>(after - stretches_.begin()) -
           1;  // the last of those that begin there has it
  }

  std::uint32_t context_;
  bool wide_;
  std::vector<std::uint16_t> tokens_;
  std::vector<std::uint32_t> wide_tokens_;
  std::vector<Stretch> stretches_;
  std::uint64_t windows_ = 0;
  std::uint64_t damaged_ = 0;
  std::vector<std::string> groups_;
};

Result<void> add_document(const TokenIds& ids, const std::string& path, const PackingSpec& packing,
                          TokenDataset& data) {
  if (data.bytes() + ids.size() * 4 > kDataBytesMax)
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + ": with it the tokens need more than " +
                                                   std::to_string(kDataBytesMax) + " bytes: use fewer files");
  for (const TextToken id : ids) data.add(id);
  if (packing.separator && !ids.empty()) data.add(*packing.separator);
  return {};
}

// One of the files, by its place among them, and the damage so far.
struct FileTurn {
  std::uint32_t file = 0;
  std::uint64_t& damaged;
};

Result<void> add_file(const FoundTokens& file, const PackingSpec& packing, FileTurn turn, TokenDataset& data) {
  COVEY_TRY(const TokenShard shard, TokenShard::open(file.path));
  std::uint64_t& damaged = turn.damaged;
  damaged += shard.damaged();
  data.begin_file(file.relative);
  for (std::uint32_t record = 0; record < shard.records(); ++record) {
    if (!packing.takes(turn.file, record)) continue;
    COVEY_TRY(const auto ids, shard.read(record));
    damaged += ids ? 0 : 1;
    if (ids) COVEY_TRY_VOID(add_document(*ids, file.path, packing, data));
  }
  data.end_file();
  if (damaged > packing.damaged_max)
    return unexpected(ErrorCode::kInvalidData,
                      shown(file.path, 300) + ": with it " + std::to_string(damaged) +
                          " records are damaged, at most " + std::to_string(packing.damaged_max) +
                          " are passed over: make the files again");
  return {};
}

// What reads one client's text files.
struct TextTurn {
  const PackingSpec& packing;
  const TextFiles& text;
  TokenEncoder& encoder;
  std::uint64_t damaged = 0;
};

Result<void> add_text_file(const FoundFile& file, TextTurn& turn, TokenDataset& data) {
  data.begin_file(file.relative);
  const auto add = [&](std::string_view text) {
    return add_document(turn.encoder.encode(text), file.path, turn.packing, data);
  };
  if (turn.text.form == TextForm::kLines) {
    JsonlSpec lines{.field = turn.text.field};
    lines.damaged_max = turn.packing.damaged_max - turn.damaged;
    COVEY_TRY(const JsonlCount count, for_each_document(file.path, lines, add));
    turn.damaged += count.damaged;
  } else {
    COVEY_TRY(const Bytes text, read_data_file(file.path, kDataBytesMax));
    COVEY_TRY_VOID(add(text_of(text)));
  }
  data.end_file();
  return {};
}

Result<std::unique_ptr<Dataset>> checked(std::unique_ptr<TokenDataset> data, const std::string& path) {
  if (data->windows() == 0)
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + " holds " +
                                                   std::to_string(data->size_in_tokens()) +
                                                   " tokens, at least 2 in one file are needed");
  if (data->windows() > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidData,
                      shown(path, 300) + " gives " + std::to_string(data->windows()) +
                          " windows, at most 4294967295 are possible: use a longer context");
  return std::unique_ptr<Dataset>(std::move(data));
}

}  // namespace

Result<void> check_packing(const PackingSpec& packing) {
  if (packing.context < 1 || packing.context > (1u << 26))
    return unexpected(ErrorCode::kInvalidArgument, "the context is " + std::to_string(packing.context) +
                                                       " tokens, 1 to 67108864 are possible");
  if (packing.separator && *packing.separator >= packing.vocabulary)
    return unexpected(ErrorCode::kInvalidArgument, "the separator " + std::to_string(*packing.separator) +
                                                       " is out of range, the model's vocabulary has " +
                                                       std::to_string(packing.vocabulary) + " tokens");
  return {};
}

Result<std::vector<FoundTokens>> find_token_files(const std::string& path, const PackingSpec& packing) {
  COVEY_TRY_VOID(check_packing(packing));
  COVEY_TRY(const FileList list, list_files(path));
  std::vector<FoundTokens> found;
  for (const FoundFile& file : list.files) {
    if (!file.relative.ends_with(kTokenShardEnd)) continue;
    COVEY_TRY(const std::uint32_t vocabulary, TokenShard::vocabulary_of(file.path));
    if (vocabulary > packing.vocabulary)
      return unexpected(ErrorCode::kInvalidData,
                        shown(file.path, 300) + " has a vocabulary of " + std::to_string(vocabulary) +
                            " tokens, the model's has " + std::to_string(packing.vocabulary) +
                            ": use the tokenizer that belongs to the model");
    found.push_back({file.path, file.relative});
  }
  if (found.empty())
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + " holds no file named *" + kTokenShardEnd);
  return found;
}

Result<std::unique_ptr<Dataset>> load_tokens(const std::string& path, const PackingSpec& packing) {
  COVEY_TRY(const std::vector<FoundTokens> found, find_token_files(path, packing));
  auto data = std::make_unique<TokenDataset>(packing.context, packing.vocabulary);
  std::uint64_t damaged = 0;
  for (std::uint32_t i = 0; i < found.size(); ++i) COVEY_TRY_VOID(add_file(found[i], packing, {i, damaged}, *data));
  data->set_damaged(damaged);
  if (packing.part == DocumentPart::kHoldout && data->windows() == 0) return std::unique_ptr<Dataset>(std::move(data));
  return checked(std::move(data), path);
}

Result<std::unique_ptr<Dataset>> load_encoded_text(const std::string& path, const PackingSpec& packing,
                                                   const TextFiles& text, const Tokenizer& tokenizer) {
  COVEY_TRY_VOID(check_packing(packing));
  if (tokenizer.vocabulary() > packing.vocabulary)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the tokenizer has " + std::to_string(tokenizer.vocabulary()) +
                          " tokens, the model's vocabulary " + std::to_string(packing.vocabulary) +
                          ": use the tokenizer that belongs to the model");
  COVEY_TRY(const FileList list, list_documents(path));
  TokenEncoder encoder(tokenizer);
  auto data = std::make_unique<TokenDataset>(packing.context, packing.vocabulary);
  TextTurn turn{packing, text, encoder};
  std::size_t files = 0;
  for (const FoundFile& file : list.files) {
    const bool named = list.files.size() == 1 && file.path == path;  // by itself: any name will do
    if (text.form == TextForm::kLines && !named && !file.relative.ends_with(".jsonl")) continue;
    ++files;
    COVEY_TRY_VOID(add_text_file(file, turn, *data));
  }
  data->set_damaged(turn.damaged);
  if (files == 0 && text.form == TextForm::kLines)
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + " holds no file named *.jsonl");
  return checked(std::move(data), path);
}

}  // namespace covey
