// Local data from a file or folder.
#include <numeric>

#include "client/trainer.h"

namespace covey {
namespace {

class PathSource final : public DataSource {
 public:
  explicit PathSource(std::string path) : path_(std::move(path)) {}

  Result<LocalData> load(const JobSpec& job) override {
    if (path_.empty())
      return unexpected(ErrorCode::kNotFound, "this client has no data folder: name one with --data");
    COVEY_TRY(std::unique_ptr<Dataset> data,
              load_dataset({.path = path_, .data = job.data, .model = job.model, .grouping = {}}));
    Indices all(data->size());
    std::iota(all.begin(), all.end(), 0U);
    // The same split in every round: what is held out is never trained on.
    Split split = split_holdout(all, job.data.holdout, Random(job.seed).split("holdout"));
    LocalData local{std::move(data), std::move(split)};
    if (auto counts = prepare(local); !counts) return unexpected(in_context(path_, counts.error()));
    return local;
  }

 private:
  std::string path_;
};

}  // namespace

std::unique_ptr<DataSource> make_path_source(std::string path) {
  return std::make_unique<PathSource>(std::move(path));
}

Result<DataPrepared> prepare(const LocalData& local) {
  if (local.split.train.empty())
    return unexpected(ErrorCode::kInvalidData,
                      "no training example: add data, or lower data.holdout");
  return DataPrepared{local.split.train.size(), local.split.holdout.size()};
}

}  // namespace covey
