// covey evaluate: a model in files on data that the operator has.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "client/tokenizer_file.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/model_file.h"
#include "core/base/file.h"
#include "core/data/dataset.h"
#include "core/data/safetensors.h"
#include "core/data/tokens/token_shard.h"
#include "core/nn/calibration.h"
#include "core/nn/model.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::uint32_t kBatch = 8;
constexpr std::uint64_t kLogitsMax = std::uint64_t{1} << 26;  // of one batch: 256 MiB

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::uint32_t batch_for(const ModelSpec& spec) {
  if (spec.family != ModelFamily::kTransformer) return kBatch;
  const std::uint64_t each = std::uint64_t{spec.context} * spec.vocabulary;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(kLogitsMax / each, 1, kBatch));
}

// The first batch as it was computed: "tokens" [n, T], as f32, and "logits" [n, T, V].
Result<void> save_logits(const std::string& path, const Minibatch& batch, Tensor logits) {
  const auto count = static_cast<std::uint32_t>(batch.inputs.dim(0)), length = static_cast<std::uint32_t>(batch.inputs.dim(1));
  const auto outputs = static_cast<std::uint32_t>(logits.dim(1));
  const std::uint64_t tokens = std::uint64_t{count} * length;
  const ParameterTable table{{{"tokens", {count, length}, 0, tokens, 0}, {"logits", {count, length, outputs}, tokens, tokens * outputs, 0}},
                             {{"first batch", 0, tokens + tokens * outputs}},
                             tokens + tokens * outputs};
  std::vector<float> values(batch.inputs.i32(), batch.inputs.i32() + tokens);
  values.insert(values.end(), logits.f32(), logits.f32() + tokens * outputs);
  return write_file(path, to_safetensors(table, values, {}));
}

// What was measured; after Ctrl-C of the first `examples` only.
struct Measured {
  Calibration calibration;
  std::size_t examples = 0;
};

Result<Measured> measure(const LoadedModel& loaded, const Dataset& data, const std::string& save, Console& console) {
  const auto ops = make_cpu_ops();
  const std::uint32_t batch_size = batch_for(loaded.spec.model);
  COVEY_TRY(const auto model, Model::create(loaded.spec.model, batch_size, *ops));
  std::copy(loaded.parameters.begin(), loaded.parameters.end(), model->parameters().begin());
  BatchBuffer buffer(data, batch_size);
  Indices all(data.size());
  std::iota(all.begin(), all.end(), 0U);
  Measured found;
  for (std::size_t begin = 0; begin < all.size() && !StopSignals::interrupted(); begin += batch_size) {
    const std::size_t count = std::min<std::size_t>(batch_size, all.size() - begin);
    const Minibatch batch = buffer.fill(std::span(all).subspan(begin, count));
    const Tensor logits = model->logits(batch);
    if (begin == 0 && !save.empty()) COVEY_TRY_VOID(save_logits(save, batch, logits));
    found.calibration.add(logits, batch.targets.reshaped({logits.dim(0)}));
    found.examples = begin + count;
    console.progress(bar_text(static_cast<double>(found.examples) / static_cast<double>(all.size()), 20) + " " +
                     std::to_string(found.examples) + " of " + std::to_string(all.size()) + ", loss " + rounded(found.calibration.loss()));
  }
  console.progress("");
  return found;
}

// Where nobody said so, a folder of another form would be read as text, and give a loss that looks right.
Result<void> check_form(const std::string& path, DataFormat format) {
  if (format != DataFormat::kText) return {};
  const auto refuse = [&](const std::string& file, const char* form) {
    return unexpected(ErrorCode::kInvalidArgument, "--data " + path + ": " + file + " is no text; say --format " + form +
                                                       ", or --format text to read it as such");
  };
  const auto judge = [&](const std::filesystem::path& file) -> Result<void> {
    if (file.extension() == kTokenShardEnd) return refuse(file.filename().string(), "tokens");
    if (file.extension() == ".jsonl") return refuse(file.filename().string(), "jsonl");
    return {};
  };
  std::error_code code;
  if (!std::filesystem::is_directory(path, code)) return judge(path);
  for (const auto& entry : std::filesystem::directory_iterator(path, code)) COVEY_TRY_VOID(judge(entry.path()));
  return {};
}

// The flag, not the settings of a job that nobody wrote.
Result<void> check_format(const std::string& flag, DataFormat format, const JobSpec& job) {
  DataSpec form;
  form.format = format;
  const std::string model = std::string("a \"") + name_of(job.model.family) + "\"";
  if (form.is_language() != (job.model.family == ModelFamily::kTransformer))
    return unexpected(ErrorCode::kInvalidArgument, "--format " + flag + ": the model is " + model + ", whose data are " +
                                                       (form.is_language() ? "csv or idx" : "text, jsonl or tokens") +
                                                       "; leave --format out for " + name_of(job.data.format) + ", as its job says");
  if (format == DataFormat::kCsv && job.data.format != format)
    return unexpected(ErrorCode::kInvalidArgument, "--format csv: the columns are the job's to say, and its data are " +
                                                       std::string(name_of(job.data.format)) + "; leave --format out");
  return {};
}

// What the job says of its data, and where the flags say otherwise, that.
Result<DataSpec> data_of(const EvaluateOptions& options, const LoadedModel& loaded) {
  DataSpec data = loaded.spec.data;
  if (options.format.empty()) {
    COVEY_TRY_VOID(check_form(options.data, data.format));
  } else {
    COVEY_TRY(data.format, data_format_from(options.format));
    COVEY_TRY_VOID(check_format(options.format, data.format, loaded.spec));
    if (data.format != DataFormat::kCsv) data.columns.clear();
  }
  if (data.format != DataFormat::kJsonl) data.field = DataSpec{}.field;
  if (!options.field.empty()) data.field = options.field;
  if (options.damaged_max) data.damaged_max = *options.damaged_max;
  if (data.is_language() && loaded.tokenizer != nullptr) data.tokenizer_sha256 = loaded.tokenizer_sha256;
  if (options.separator) data.separator = options.separator;
  if (data.separator && *data.separator >= loaded.spec.model.vocabulary)
    return unexpected(ErrorCode::kInvalidArgument, "--separator " + std::to_string(*data.separator) +
                                                       ": must be a token, below the model's vocabulary of " +
                                                       std::to_string(loaded.spec.model.vocabulary));
  COVEY_TRY_VOID(data.validate());
  if (data.format == DataFormat::kTokens && !tokenizer_path("", options.data).empty())
    COVEY_TRY_VOID(pinned_tokenizer(data, "", options.data));  // the files were made with the one beside them
  return data;
}

}  // namespace

Result<int> evaluate_command(const EvaluateOptions& options, Console& console) {
  if (!options.logits.empty()) COVEY_TRY_VOID(check_new_file("--logits", options.logits));
  COVEY_TRY(const LoadedModel loaded, load_model(options.model));
  const bool text = loaded.spec.model.family == ModelFamily::kTransformer;
  if (!options.logits.empty() && !text)
    return unexpected(ErrorCode::kInvalidArgument, "--logits is for transformers; leave it out");
  COVEY_TRY(const DataSpec spec, data_of(options, loaded));
  console.progress("reading " + options.data);
  COVEY_TRY(const auto data, load_dataset({.path = options.data,
                                           .data = spec,
                                           .model = loaded.spec.model,
                                           .tokenizer = loaded.tokenizer.get()}));
  if (data->damaged() != 0)
    console.warn(std::to_string(data->damaged()) + " damaged lines or records were passed over (at most " +
                 std::to_string(spec.damaged_max) + " are)");
  const StopSignals signals([] {});
  COVEY_TRY(const Measured measured, measure(loaded, *data, options.logits, console));
  const Calibration& found = measured.calibration;
  if (!std::isfinite(found.loss()))
    return unexpected(ErrorCode::kInvalidData, options.model.model + ": the loss is " + (std::isnan(found.loss()) ? "NaN" : "infinite") +
                                                   ": its weights are damaged, or training diverged; use another model");
  const bool interrupted = measured.examples < data->size();
  JsonObject object;
  object.add("event", "evaluated").add("examples", measured.examples).add("targets", found.targets());
  object.add("loss", found.loss()).add("accuracy", found.accuracy()).add("calibration_error", found.calibration_error());
  if (text) object.add("perplexity", std::exp(found.loss()));
  if (spec.is_language()) object.add("damaged", data->damaged());
  object.add("interrupted", interrupted);
  console.object(object);
  if (interrupted)
    console.warn("interrupted: these figures are of the first " + std::to_string(measured.examples) + " of " + std::to_string(data->size()));
  console.line(std::to_string(measured.examples) + (text ? " windows, " : " examples, ") + std::to_string(found.targets()) +
               " targets");
  console.line("  loss       " + rounded(found.loss()) + " nats" + (text ? ", perplexity " + rounded(std::exp(found.loss())) : ""));
  console.line("  accuracy   " + rounded(found.accuracy()));
  console.line("  ECE        " + rounded(found.calibration_error()) + " (15 bins)");
  return interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace covey::cli
