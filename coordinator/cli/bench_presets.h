// Jobs to measure with when one has none of one's own, and data made up for them.
#pragma once
#include <memory>
#include <string_view>

#include "core/base/result.h"
#include "core/data/dataset.h"
#include "core/protocol/job_spec.h"

namespace covey::cli {

// "gpt-6x256", "llama-6x256", "gpt2-124m", "fedavg-cnn", "cifar-cnn", "mlp": the models and batches of
// `./check figures engine`. Error: kInvalidArgument listing them.
Result<JobSpec> preset_job(std::string_view name);
const char* preset_names();  // separated by blanks

// `size` examples of noise in the shape that the model takes, with classes or tokens by chance; 64
// differ, in the same bits from one seed.
std::unique_ptr<Dataset> noise_data(const ModelSpec& model, std::uint32_t size, std::uint64_t seed);

}  // namespace covey::cli
