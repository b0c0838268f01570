// Which shards of a model a client trains. Today there is one plan: every member of a cohort holds
// and trains every shard; a client whose memory cannot hold the model is refused.
#pragma once
#include <cstdint>
#include <vector>

#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"

namespace covey {

class ShardPlanner {
 public:
  explicit ShardPlanner(const JobSpec& job);

  // A lower bound on the bytes that training takes: weights, gradient, the global weights that the
  // update is measured against, and the local optimizer's state, all f32. Activations come on top
  // and are the client's own judgement.
  std::uint64_t training_bytes_min() const { return training_bytes_min_; }
  std::uint64_t parameters() const { return parameters_; }
  std::uint64_t exchanged() const { return exchanged_; }  // elements of an update (core/protocol/exchanged.h)

  // Indices into parameter_table(job.model).shards. A client that measured no memory (0) is asked,
  // and judges for itself. Errors: kResourceExhausted naming both sizes.
  Result<std::vector<std::uint32_t>> plan(const Capability& capability) const;

 private:
  std::uint64_t parameters_ = 0;
  std::uint64_t exchanged_ = 0;
  std::uint64_t training_bytes_min_ = 0;
  std::vector<std::uint32_t> all_;
};

}  // namespace covey
