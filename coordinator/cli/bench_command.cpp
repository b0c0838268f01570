// covey bench train: how fast this machine trains, and what that is of what it could do.
#include "coordinator/cli/bench_training.h"
#include "coordinator/cli/bench_presets.h"
#include "coordinator/cli/commands.h"
#include "core/protocol/limits.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

// As the plan and --memory speak of memory.
std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB"; }

Result<JobSpec> job_of(const BenchTrainOptions& options) {
  if (options.job_file.empty() == options.preset.empty())
    return unexpected(ErrorCode::kInvalidArgument, std::string("give one of --job FILE and --preset NAME (") + preset_names() + ")");
  JobSpec job;
  if (options.preset.empty()) {
    COVEY_TRY(const Bytes bytes, read_file(options.job_file, kJobTomlBytesMax));
    auto parsed = parse_job({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (!parsed) return unexpected(in_context(options.job_file, parsed.error()));
    job = std::move(*parsed);
  } else {
    if (!options.data.empty())
      return unexpected(ErrorCode::kInvalidArgument, "--data " + setting_text(options.data) + ": a preset is measured on noise; its form of data is a job's: --job FILE");
    COVEY_TRY(job, preset_job(options.preset));
  }
  if (!options.tokenizer.empty() && (options.data.empty() || job.data.tokenizer_sha256.empty()))
    return unexpected(ErrorCode::kInvalidArgument, "--tokenizer " + setting_text(options.tokenizer) + ": " +
                                                       (options.data.empty() ? "noise needs none; name the data with --data, or leave it out"
                                                                             : "the job pins no tokenizer; leave it out"));
  if (!options.precision.empty()) {
    COVEY_TRY(job.train.precision, precision_from(options.precision));
  }
  if (!options.checkpointing.empty()) {
    COVEY_TRY(job.train.checkpointing, checkpointing_from(options.checkpointing));
  }
  if (options.batch != 0) job.train.batch_size = options.batch;
  if (options.micro_batch != 0) job.train.micro_batch = options.micro_batch;
  // A preset need not be of a form of data that jobs have.
  if (options.preset.empty()) {
    COVEY_TRY_VOID(job.validate());
  } else {
    COVEY_TRY_VOID(job.train.validate());
  }
  return job;
}

std::string rate_text(double per_second) {
  const char* names[] = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  while (per_second >= 1000 && unit + 1 < std::size(names)) per_second /= 1000, ++unit;
  return fixed_text(per_second, per_second < 10 ? 2 : per_second < 100 ? 1 : 0) + " " + names[unit];
}

// What a step's numbers come to.
struct Rates {
  bool tokens;
  double per_second, flops, peak, share;
};

Rates rates_of(const JobSpec& job, const BenchResult& result) {
  Rates rates{};
  rates.tokens = job.model.family == ModelFamily::kTransformer;
  rates.per_second = static_cast<double>(rates.tokens ? result.targets : result.examples) / result.seconds;
  rates.flops = static_cast<double>(result.flops.step()) * static_cast<double>(result.examples) / result.seconds;
  rates.peak = result.plan.precision == Precision::kBf16 ? result.peak.bf16 : result.peak.f32;
  rates.share = rates.flops / rates.peak;
  return rates;
}

JsonObject object_of(const JobSpec& job, const BenchResult& result, const Rates& rates) {
  JsonObject object;
  object.add("event", "bench_train").add("name", job.name).add("precision", name_of(result.plan.precision));
  object.add("checkpointing", name_of(result.plan.checkpointing)).add("micro_batch", result.plan.micro_batch);
  object.add("batch_size", job.train.batch_size).add("threads", result.threads).add("parameters", result.parameters);
  object.add("steps", result.steps).add("seconds", result.seconds).add("step_median_s", result.step_median_s);
  object.add(rates.tokens ? "tokens_per_s" : "samples_per_s", rates.per_second);
  object.add("flops_per_example", result.flops.step()).add("flops_per_s", rates.flops);
  object.add("product_peak_f32", result.peak.f32).add("product_peak_bf16", result.peak.bf16).add("share_of_peak", rates.share);
  object.add("planned_bytes", result.plan.bytes);
  if (result.peak_bytes)
    object.add("peak_bytes", *result.peak_bytes);
  else
    object.null("peak_bytes");
  if (result.joules)
    object.add("joules", *result.joules);
  else
    object.null("joules").add("why_no_joules", result.why_no_joules);
  return object.add("interrupted", result.interrupted);
}

void print(const BenchResult& result, const Rates& rates, Console& console) {
  const double steps = static_cast<double>(result.steps);
  const std::string unit = rates.tokens ? "tokens" : "samples";
  console.line("  speed          " + rate_text(rates.per_second) + unit + "/s  (" + std::to_string(result.steps) + " steps in " +
               duration_text(result.seconds) + ", median " + fixed_text(1e3 * result.step_median_s, 2) + " ms)");
  console.line("  products       " + rate_text(rates.flops) + "FLOP/s  (" + rate_text(static_cast<double>(result.flops.step()) * static_cast<double>(result.examples) / steps) + "FLOP a step)");
  console.line("  of the peak    " + fixed_text(100 * rates.share, 1) + " %  (fastest product here: f32 " + rate_text(result.peak.f32) + "FLOP/s, bf16 " +
               rate_text(result.peak.bf16) + "FLOP/s)");
  console.line("  peak memory    " + (result.peak_bytes ? mebibytes(*result.peak_bytes) + " of this process" : std::string("not measured")) +
               "  (planned " + mebibytes(result.plan.bytes) + ")");
  const double done = rates.per_second * result.seconds;
  console.line("  energy         " + (result.joules ? fixed_text(*result.joules, 1) + " J, " + fixed_text(1e3 * *result.joules / done, 2) + " mJ a " + (rates.tokens ? "token" : "sample") +
                                                          " (whole processors, whatever else runs there)"
                                                    : "not measured: " + result.why_no_joules));
}

}  // namespace

Result<int> bench_train_command(const BenchTrainOptions& options, Console& console) {
  COVEY_TRY(const JobSpec job, job_of(options));
  const auto memory = static_cast<std::uint64_t>(options.memory_gib * 1024 * 1024 * 1024);
  auto result = bench_training({job, options.data, options.tokenizer, options.seconds, options.threads, memory}, console);
  if (!result && result.error().code == ErrorCode::kUnavailable) {
    console.warn("covey: " + result.error().message);
    return kExitInterrupted;
  }
  if (!result) return unexpected(result.error());
  const Rates rates = rates_of(job, *result);
  console.object(object_of(job, *result, rates));
  print(*result, rates, console);
  return result->interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace covey::cli
