// Measures how fast this machine trains a job's model, with the client's own trainer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "client/train_plan.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/product_peak.h"
#include "core/nn/flops.h"
#include "core/protocol/job_spec.h"

namespace covey::cli {

struct BenchRequest {
  JobSpec job;
  std::string data;              // file or folder in the job's form; empty: noise
  std::string tokenizer;         // that the job pins, or its folder; empty: the one in the data's folder
  double seconds = 10;           // of steps, at least
  std::uint32_t threads = 0;     // 0: all cores
  std::uint64_t memory_bytes = 0;  // that training may take; 0: the machine's
};

struct BenchResult {
  TrainPlan plan;
  std::uint32_t threads = 0;
  std::uint64_t parameters = 0;
  ProductFlops flops;            // of one example
  ProductPeak peak;              // the better of before and after the steps
  // Of the steps that count; the first ones warm up.
  std::uint64_t steps = 0, examples = 0, targets = 0;
  double seconds = 0, step_median_s = 0;
  std::optional<std::uint64_t> peak_bytes;  // resident memory of this process while it trained
  std::optional<double> joules;
  std::string why_no_joules;
  bool interrupted = false;      // by Ctrl-C: what was measured until then
};
// Errors: those of the data, of the plan and of train(); kUnavailable when Ctrl-C came before a step counted.
Result<BenchResult> bench_training(const BenchRequest& request, Console& console);

}  // namespace covey::cli
