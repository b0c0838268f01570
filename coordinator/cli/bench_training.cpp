#include "coordinator/cli/bench_training.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "client/capability.h"
#include "client/service/energy_meter.h"
#include "client/trainer.h"
#include "coordinator/cli/bench_presets.h"
#include "coordinator/cli/demo_training.h"
#include "core/service/signals.h"
#include "core/spec/parameter_table.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr std::uint64_t kWarmSteps = 2;  // builds kernels, touches memory
constexpr std::uint64_t kLeastSteps = 3;
constexpr std::uint32_t kEndless = 10'000'000, kEndlessAdaptive = 10'000;  // local steps; the time ends them
constexpr std::uint32_t kBatches = 8;           // of noise

// The model lies on the disk, as a client's does.
class ScratchFolder {
 public:
  ScratchFolder() : path_((std::filesystem::temp_directory_path() / "covey-bench-XXXXXX").string()) {
    made_ = ::mkdtemp(path_.data()) != nullptr;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  bool made() const { return made_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool made_ = false;
};

std::optional<std::uint64_t> peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string text; std::getline(status, text);)
    if (text.starts_with("VmHWM:")) return std::stoull(text.substr(6)) * 1024;
  return {};
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

Result<LocalData> data_of(const BenchRequest& request) {
  if (!request.data.empty()) {
    COVEY_TRY(LocalData data, make_path_source(request.data, request.tokenizer)->load(request.job));
    data.split.holdout.clear();  // no time for what is held out
    return data;
  }
  const std::uint32_t size = kBatches * std::max(request.job.train.batch_size, request.job.train.batch_max);
  LocalData data{noise_data(request.job.model, size, request.job.seed), {}};
  for (std::uint32_t i = 0; i < size; ++i) data.split.train.push_back(i);
  return data;
}

// What the trainer tells of its steps, until the time is over.
class StepWatch {
 public:
  StepWatch(double seconds, Console& console) : wanted_s_(seconds), console_(console) {}

  void stepped(const StepReport& report) {
    const Instant now = clock_.now();
    if (report.step > kWarmSteps) count(report, seconds(now - last_));
    if (report.step == kWarmSteps) meter_.emplace();
    last_ = now;
    if (report.step == 1) begin_ = now;
    interrupted_ = StopSignals::interrupted();
    const bool over = times_.size() >= kLeastSteps && result_.seconds >= wanted_s_;
    if (interrupted_ || over) over_.store(true, std::memory_order_relaxed);
    if (seconds(now - shown_) < 0.2) return;
    shown_ = now;
    console_.progress(bar_text(std::min(1.0, result_.seconds / wanted_s_), 20) + " step " + std::to_string(report.step) + ", " +
                      duration_text(result_.seconds) + " of " + duration_text(wanted_s_));
  }

  const std::atomic<bool>& over() const { return over_; }

  BenchResult take() {
    console_.progress("");
    result_.steps = times_.size();
    result_.interrupted = interrupted_;
    std::sort(times_.begin(), times_.end());
    if (!times_.empty()) result_.step_median_s = times_[times_.size() / 2];
    if (meter_) {
      result_.joules = meter_->joules();
      result_.why_no_joules = meter_->why_not();
    }
    return std::move(result_);
  }

 private:
  void count(const StepReport& report, double took) {
    times_.push_back(took);
    result_.seconds += took;
    result_.examples += report.examples;
    result_.targets += report.targets;
    meter_->sample();
  }

  double wanted_s_;
  Console& console_;
  SystemClock clock_;
  Instant begin_{}, last_{}, shown_{};
  std::atomic<bool> over_ = false;
  bool interrupted_ = false;
  std::optional<EnergyMeter> meter_;
  std::vector<double> times_;
  BenchResult result_;
};

Train endless_round(const JobSpec& job, const BlobRef& model) {
  Train work;
  work.job = job;
  work.job.train.local_epochs = 0;
  work.job.train.local_steps = job.train.adapts_batch() ? kEndlessAdaptive : kEndless;
  work.offer.key = {1, 1, 1};
  work.offer.kind = RoundKind::kTrain;
  work.offer.model = model;
  work.offer.progress_end = 1;
  return work;
}

Result<BenchResult> run_steps(const BenchRequest& request, const LocalData& data, const TrainLimits& limits, Console& console) {
  const ScratchFolder folder;
  if (!folder.made()) return unexpected(ErrorCode::kResourceExhausted, "no folder for the model could be made in " + std::filesystem::temp_directory_path().string() + "; TMPDIR names another");
  COVEY_TRY(const auto blobs, open_blob_files(folder.path()));
  COVEY_TRY(const BlobRef model, initial_model(request.job, *blobs));
  TrainWorkspace workspace(static_cast<int>(request.threads));
  StepWatch watch(request.seconds, console);
  TrainPlan plan;
  forget_peak();
  const auto trained = train(endless_round(request.job, model),
                             {.blobs = *blobs, .local = data, .client = {}, .cancelled = &watch.over(), .workspace = &workspace, .limits = limits,
                              .planned = [&](const TrainPlan& chosen) { plan = chosen; },
                              .stepped = [&](const StepReport& report) { watch.stepped(report); }});
  if (!trained && !watch.over()) return unexpected(trained.error());
  BenchResult result = watch.take();
  result.peak_bytes = peak_memory();
  result.plan = plan;
  return result;
}

}  // namespace

Result<BenchResult> bench_training(const BenchRequest& asked, Console& console) {
  BenchRequest request = asked;
  request.job.start.clear();  // numbers of any kind are computed as fast
  const StopSignals signals([] {});
  SystemClock clock;
  COVEY_TRY(const LocalData data, data_of(request));
  const auto one = make_cpu_ops();
  const Capability machine = measure_capability(*one, clock, {request.threads, request.memory_bytes});
  request.threads = machine.cores;
  TrainLimits limits{machine.memory_bytes, bf16_speed(*one), {}};
  COVEY_TRY(const TrainPlan plan, plan_training(request.job, limits));  // before anything is measured
  console.note(request.job.name + ": " + to_text(plan) + ", " + std::to_string(request.threads) +
               (request.threads == 1 ? " thread, " : " threads, ") + (request.data.empty() ? "noise as data" : request.data));
  const auto peak_of = [&](ProductPeak before) {
    Team team(static_cast<int>(request.threads));
    return measure_products(*make_cpu_ops(team), clock, before);
  };
  const ProductPeak before = peak_of({});
  COVEY_TRY(BenchResult result, run_steps(request, data, limits, console));
  if (result.steps == 0) return unexpected(ErrorCode::kUnavailable, "ended by Ctrl-C before a step was measured");
  result.peak = result.interrupted ? before : peak_of(before);
  result.threads = request.threads;
  result.parameters = parameter_table(request.job.model).size;
  result.flops = product_flops(request.job.model, request.job.train.frozen);
  return result;
}

}  // namespace covey::cli
