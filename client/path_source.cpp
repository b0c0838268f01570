// Local data from a file or folder.
#include <numeric>

#include "client/tokenizer_file.h"
#include "client/trainer.h"

namespace covey {
namespace {

class PathSource final : public DataSource {
 public:
  PathSource(std::string path, std::string tokenizer) : path_(std::move(path)), tokenizer_(std::move(tokenizer)) {}

  Result<LocalData> load(const JobSpec& job) override {
    if (path_.empty())
      return unexpected(ErrorCode::kNotFound, "this client has no data folder: name one with --data");
    COVEY_TRY(const auto tokenizer, pinned_tokenizer(job.data, tokenizer_, path_));
    if (job.data.format == DataFormat::kTokens) return load_stream(job);
    COVEY_TRY(std::unique_ptr<Dataset> data, load_dataset({.path = path_,
                                                           .data = job.data,
                                                           .model = job.model,
                                                           .grouping = {},
                                                           .tokenizer = tokenizer.get()}));
    Indices all(data->size());
    std::iota(all.begin(), all.end(), 0U);
    // The same split in every round: what is held out is never trained on.
    Split split = split_holdout(all, job.data.holdout, Random(job.seed).split("holdout"));
    LocalData local{std::move(data), std::move(split)};
    if (auto counts = prepare(local); !counts) return unexpected(in_context(path_, counts.error()));
    return local;
  }

 private:
  // Held-out documents are loaded whole; those to train on are counted, and read when their turn comes.
  Result<LocalData> load_stream(const JobSpec& job) const {
    PackingSpec packing{.context = job.model.context,
                        .vocabulary = job.model.vocabulary,
                        .separator = job.data.separator,
                        .damaged_max = job.data.damaged_max,
                        .part = DocumentPart::kHoldout,
                        .holdout = job.data.holdout,
                        .holdout_seed = job.seed};
    COVEY_TRY(std::unique_ptr<Dataset> holdout, load_tokens(path_, packing));
    packing.part = DocumentPart::kTrain;
    COVEY_TRY(const TokenStream stream, TokenStream::open(path_, packing, 0));
    COVEY_TRY(const std::uint64_t tokens, stream.tokens_in_epoch());
    Split split;
    split.holdout.resize(holdout->size());
    std::iota(split.holdout.begin(), split.holdout.end(), 0U);
    LocalData local{std::move(holdout), std::move(split), StreamedFiles{path_, packing, tokens / packing.context}};
    if (auto counts = prepare(local); !counts) return unexpected(in_context(path_, counts.error()));
    return local;
  }

  std::string path_, tokenizer_;
};

}  // namespace

std::unique_ptr<DataSource> make_path_source(std::string path, std::string tokenizer) {
  return std::make_unique<PathSource>(std::move(path), std::move(tokenizer));
}

Result<DataPrepared> prepare(const LocalData& local) {
  if (local.train_examples() == 0)
    return unexpected(ErrorCode::kInvalidData,
                      "no training example: add data, or lower data.holdout");
  return DataPrepared{local.train_examples(), local.split.holdout.size()};
}

}  // namespace covey
