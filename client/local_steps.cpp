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

std::span<const std::uint32_t> BatchOrder::next(std::size_t batch_size) {
  if (position_ == 0) random_.shuffle(std::span(order_));
  const std::size_t count = std::min(batch_size, order_.size() - position_);
  const std::span<const std::uint32_t> batch = std::span(order_).subspan(position_, count);
  position_ = (position_ + count) % order_.size();
  return batch;
}

LocalSteps::LocalSteps(const TrainSpec& spec, const Indices& examples, Random random) : LocalSteps(spec, examples.size()) {
  order_.emplace(examples, spec.batch_size, random);
}

LocalSteps::LocalSteps(const TrainSpec& spec, std::uint64_t examples)
    : batch_size_(spec.batch_size), steps_(local_step_count(spec, examples)) {
  if (!spec.adapts_batch()) return;
  adaptive_.emplace(spec);
  budget_ = spec.local_steps != 0 ? std::uint64_t{spec.local_steps} * spec.batch_size : spec.local_epochs * examples;
  // Each pass may end with a step of its own.
  steps_ = budget_ / spec.smallest_batch() + budget_ / examples + 2;
}

double LocalSteps::middle() const {
  if (!adaptive_) return (static_cast<double>(step_) + 0.5) / static_cast<double>(steps_);
  return (static_cast<double>(seen_) - 0.5 * static_cast<double>(of_step_)) / static_cast<double>(budget_);
}

std::size_t LocalSteps::wanted() const {
  return adaptive_ ? std::min<std::uint64_t>(adaptive_->size(), budget_ - seen_) : batch_size_;
}

void LocalSteps::sees(std::size_t examples) {
  of_step_ = examples;
  seen_ += examples;
}

std::span<const std::uint32_t> LocalSteps::next() {
  const auto examples = order_->next(wanted());
  sees(examples.size());
  return examples;
}

}  // namespace covey
