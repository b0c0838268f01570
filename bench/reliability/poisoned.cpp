#include <algorithm>
#include <filesystem>

#include "bench/reliability/rows.h"
#include "bench/reliability/tiny_worlds.h"
#include "core/nn/model.h"
#include "core/protocol/manifest.h"

namespace covey::bench {
namespace {

constexpr std::uint32_t kClients = 20;
constexpr std::uint32_t kHostile = 4;    // a fifth
constexpr std::int32_t kClasses = 10;
constexpr const char* kData = COVEY_SOURCE_DIR "/../shared/data/mnist";

constexpr const char* kJob = R"(
name = "poisoned"
rounds = 15
[model]
family = "mlp"
hidden = [32]
classes = 10
[data]
format = "idx"
holdout = 0.2
[train]
local_epochs = 2
batch_size = 20
learning_rate = 0.05
[selection]
min_clients = 20
[privacy]
secure_aggregation = false
[simulation]
clients = 20
)";

// Every 0 is called a 9, every 1 an 8, ...
class Flipped final : public Dataset {
 public:
  explicit Flipped(std::shared_ptr<const Dataset> honest) : honest_(std::move(honest)) {}
  std::uint32_t size() const override { return honest_->size(); }
  Shape input_shape() const override { return honest_->input_shape(); }
  DType input_dtype() const override { return honest_->input_dtype(); }
  Shape target_shape() const override { return honest_->target_shape(); }
  std::uint32_t label(std::uint32_t index) const override { return kClasses - 1 - honest_->label(index); }
  std::uint32_t group(std::uint32_t index) const override { return honest_->group(index); }
  const std::vector<std::string>& groups() const override { return honest_->groups(); }
  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    honest_->fill(indices, batch);
    for (std::int32_t& target : batch.targets.ints()) target = kClasses - 1 - target;
  }

 private:
  std::shared_ptr<const Dataset> honest_;  // shared: with the population
};

enum class Attack { kNone, kLabels, kSigns };
const char* name_of(Attack attack) {
  return attack == Attack::kNone ? "clean" : attack == Attack::kLabels ? "flipped labels" : "byzantine";
}

// Byzantine: away from where training led, and thrice as far.
Result<WorkValue> reversed(const Work& work, Result<WorkValue> honest, BlobStore& blobs) {
  if (!std::holds_alternative<Train>(work) || !honest) return honest;
  Trained& trained = std::get<Trained>(*honest);
  if (!trained.update) return honest;
  COVEY_TRY(const Bytes bytes, blobs.get(trained.update->id));
  COVEY_TRY(std::vector<float> values, floats_of_bytes(bytes));
  for (float& value : values) value *= -3;
  COVEY_TRY(trained.update, blobs.put(bytes_of_floats(values)));
  return honest;
}

double accuracy(const JobSpec& job, const Population& people, std::span<const float> parameters) {
  const auto ops = make_cpu_ops();
  const auto model = must(Model::create(job.model, 100, *ops));
  COVEY_CHECK(parameters.size() == model->parameters().size());
  std::copy(parameters.begin(), parameters.end(), model->parameters().begin());
  BatchBuffer buffer(people.data(), 100);  // the true labels
  BatchStats stats;
  for (std::uint32_t client = 0; client < people.clients(); ++client) {
    const Indices& holdout = people.local(client).split.holdout;
    for (std::size_t at = 0; at < holdout.size(); at += 100)
      stats += model->evaluate(buffer.fill(std::span(holdout).subspan(at, std::min<std::size_t>(100, holdout.size() - at))));
  }
  return 100.0 * static_cast<double>(stats.correct) / static_cast<double>(stats.targets);
}

double trained_accuracy(CombineKind combine, Attack attack, const std::shared_ptr<const Dataset>& data) {
  SimulationRequest request;
  request.job = must(parse_job(kJob));
  request.job.server.combine = combine;
  request.threads = std::max(1U, std::thread::hardware_concurrency());
  const auto people = must(Population::create(data, {request.job, kData, kClients, 1}));
  if (attack == Attack::kLabels)
    for (std::uint32_t client = 0; client < kHostile; ++client) people->replace_data(client, std::make_shared<Flipped>(data));
  if (attack == Attack::kSigns)
    request.spoil = [](std::uint32_t client, const Work& work, Result<WorkValue> honest, BlobStore& blobs) {
      return client < kHostile ? reversed(work, std::move(honest), blobs) : honest;
    };
  const SimulationResult result = must(simulate(request, *people));
  return accuracy(request.job, *people, result.parameters);
}

}  // namespace

// Row 24: points of held-out accuracy that a fifth of hostile clients costs the best rule, per attack.
std::vector<Figure> poisoned() {
  const char* const unit = "points";
  if (!std::filesystem::exists(kData)) {
    const std::string why = std::string("no MNIST in ") + kData;
    return {not_measured("row 24: flipped labels", unit, Bound::kAtMost, 3, why), not_measured("row 24: byzantine", unit, Bound::kAtMost, 3, why)};
  }
  const JobSpec job = must(parse_job(kJob));
  const std::shared_ptr<const Dataset> data = must(load_dataset({kData, job.data, job.model, job.simulation.partition}));
  const double clean = trained_accuracy(CombineKind::kMean, Attack::kNone, data);
  std::vector<Figure> figures;
  for (const Attack attack : {Attack::kLabels, Attack::kSigns}) {
    std::string beside = "clean " + std::to_string(clean).substr(0, 5) + " %";
    for (const auto combine : {CombineKind::kMean, CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter,
                               CombineKind::kGeometricMedian}) {
      const double reached = trained_accuracy(combine, attack, data);
      beside += std::string(", ") + covey::name_of(combine) + " " + std::to_string(reached).substr(0, 5) + " %";
      if (combine == CombineKind::kTrimmedMean)
        figures.push_back(at_most(std::string("row 24: trimmed mean, 20 % ") + name_of(attack), clean - reached, unit, 3));
      if (combine == CombineKind::kGeometricMedian)
        figures.push_back(at_most(std::string("row 24: geometric median, 20 % ") + name_of(attack), clean - reached, unit, 3));
    }
    figures.back().beside = beside;
  }
  return figures;
}

}  // namespace covey::bench
