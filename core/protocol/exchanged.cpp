#include "core/protocol/exchanged.h"

namespace covey {

Exchanged::Exchanged(const JobSpec& job) {
  if (job.update.exchange == Exchange::kTrained)
    ranges_ = trained_ranges(job.model, job.train.frozen);
  else
    ranges_ = {{0, parameter_table(job.model).size}};
  size_ = size_of(ranges_);
}

std::optional<std::uint64_t> Exchanged::place_of(const ShardRange& shard) const {
  std::uint64_t before = 0;
  for (const ParameterRange& range : ranges_) {
    if (shard.offset >= range.offset && shard.offset < range.offset + range.size) return before + shard.offset - range.offset;
    before += range.size;
  }
  return std::nullopt;
}

}  // namespace covey
