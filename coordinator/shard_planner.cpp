#include "coordinator/shard_planner.h"

#include <numeric>

#include "core/protocol/exchanged.h"
#include "core/spec/parameter_table.h"

namespace covey {

ShardPlanner::ShardPlanner(const JobSpec& job) {
  const ParameterTable table = parameter_table(job.model);
  const std::uint64_t trained = size_of(trained_ranges(job.model, job.train.frozen));
  // The offered model and the replica's; gradients and what the optimizer keeps.
  const std::uint64_t elements = 2 * table.size + trained * (1 + optimizer_copies(job.train));
  parameters_ = table.size;
  exchanged_ = exchanged_size(job);
  training_bytes_min_ = elements * sizeof(float);
  all_.resize(table.shards.size());
  std::iota(all_.begin(), all_.end(), 0U);
}

Result<std::vector<std::uint32_t>> ShardPlanner::plan(const Capability& capability) const {
  if (capability.memory_bytes == 0 || capability.memory_bytes >= training_bytes_min_) return all_;
  return unexpected(ErrorCode::kResourceExhausted,
                    "training takes at least " + std::to_string(training_bytes_min_) +
                        " bytes of memory, the client has " + std::to_string(capability.memory_bytes) +
                        "; choose a smaller model");
}

}  // namespace covey
