#include "client/local_steps.h"

#include <algorithm>

#include "core/base/check.h"

namespace covey {

std::uint64_t local_step_count(const TrainSpec& spec, std::uint64_t examples) {
  COVEY_CHECK(spec.batch_size > 0);
  if (spec.local_steps != 0) return spec.local_steps;
  const std::uint64_t steps_of_pass = (examples + spec.batch_size - 1) / spec.batch_size;
  return steps_of_pass * spec.local_epochs;
}

BatchOrder::BatchOrder(const Indices& examples, std::uint32_t batch_size, Random random)
    : order_(examples), batch_size_(batch_size), random_(random) {
  COVEY_CHECK(!order_.empty() && batch_size_ > 0);
}

std::span<const std::uint32_t> BatchOrder::next() {
  if (position_ == 0) random_.shuffle(std::span(order_));
  const std::size_t count = std::min(batch_size_, order_.size() - position_);
  const std::span<const std::uint32_t> batch = std::span(order_).subspan(position_, count);
  position_ = (position_ + count) % order_.size();
  return batch;
}

}  // namespace covey
