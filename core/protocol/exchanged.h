// Which parameters of a job's model travel as an update: those that training changes, or all of them. An
// update, its masks and sums, the mean, and each slot of the server's optimizer have this length and order.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/protocol/job_spec.h"
#include "core/spec/parameter_table.h"

namespace covey {

class Exchanged {
 public:
  explicit Exchanged(const JobSpec& job);  // a valid one

  // Of the flat buffer, in order, apart from one another: the whole buffer, or trained_ranges(). A shard lies
  // in one of them or outside all.
  const std::vector<ParameterRange>& ranges() const { return ranges_; }
  std::uint64_t size() const { return size_; }  // elements
  // Elements in front of the shard's first one; nothing: the shard is not exchanged.
  std::optional<std::uint64_t> place_of(const ShardRange& shard) const;

 private:
  std::vector<ParameterRange> ranges_;
  std::uint64_t size_ = 0;
};

inline std::uint64_t exchanged_size(const JobSpec& job) { return Exchanged(job).size(); }

}  // namespace covey
