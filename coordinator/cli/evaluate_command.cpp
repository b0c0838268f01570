// covey evaluate: a pulled model on data that the operator has.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/model_file.h"
#include "core/data/dataset.h"
#include "core/nn/calibration.h"
#include "core/nn/model.h"
#include "core/service/exit_code.h"

namespace covey::cli {
namespace {

constexpr std::uint32_t kBatch = 8;

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

Result<Calibration> measure(const LoadedModel& loaded, const Dataset& data) {
  const auto ops = make_cpu_ops();
  COVEY_TRY(const auto model, Model::create(loaded.spec.model, kBatch, *ops));
  std::copy(loaded.parameters.begin(), loaded.parameters.end(), model->parameters().begin());
  BatchBuffer buffer(data, kBatch);
  Indices all(data.size());
  std::iota(all.begin(), all.end(), 0U);
  Calibration calibration;
  for (std::size_t begin = 0; begin < all.size(); begin += kBatch) {
    const Minibatch batch = buffer.fill(std::span(all).subspan(begin, std::min<std::size_t>(kBatch, all.size() - begin)));
    const Tensor logits = model->logits(batch);
    calibration.add(logits, batch.targets.reshaped({logits.dim(0)}));
  }
  return calibration;
}

}  // namespace

Result<int> evaluate_command(const EvaluateOptions& options, Console& console) {
  COVEY_TRY(const LoadedModel loaded, load_model(options.model));
  COVEY_TRY(const auto data, load_dataset({options.data, loaded.spec.data, loaded.spec.model, {}}));
  COVEY_TRY(const Calibration found, measure(loaded, *data));
  const bool text = loaded.spec.model.family == ModelFamily::kTransformer;
  JsonObject object;
  object.add("event", "evaluated").add("examples", data->size()).add("targets", found.targets());
  object.add("loss", found.loss()).add("accuracy", found.accuracy()).add("calibration_error", found.calibration_error());
  if (text) object.add("perplexity", std::exp(found.loss()));
  console.object(object);
  console.line(std::to_string(data->size()) + (text ? " windows, " : " examples, ") + std::to_string(found.targets()) +
               " targets");
  console.line("  loss       " + rounded(found.loss()) + " nats" + (text ? ", perplexity " + rounded(std::exp(found.loss())) : ""));
  console.line("  accuracy   " + rounded(found.accuracy()));
  console.line("  ECE        " + rounded(found.calibration_error()) + " (15 bins)");
  return kExitOk;
}

}  // namespace covey::cli
