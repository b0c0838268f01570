#include "aggregation/round_sum.h"

#include <algorithm>

#include "aggregation/check_update.h"

namespace covey {
namespace {

constexpr std::size_t kElements = kChunkBytes / sizeof(float);
constexpr std::size_t kAddersMax = 1024;  // threads that may be adding at once

}  // namespace

RoundSum::RoundSum(std::size_t parameters, SumScale scale) : scale_(scale), sum_(parameters) {}

Result<UpdateChecked> RoundSum::add(const CheckUpdate& work, std::int64_t weight, BlobStore& blobs) {
  COVEY_CHECK(work.parameters == sum_.size() && sum_scale(work.limits) == scale_);
  {
    const std::lock_guard lock(mutex_);
    COVEY_CHECK(weight >= 1 && weight <= kWeightMax - weight_);
    weight_ += weight;
  }
  std::size_t added = 0;  // elements
  try {
    return add_reserved(work, weight, blobs, added);
  } catch (...) {  // no memory: what was added in part cannot be told from what was not
    const std::lock_guard lock(mutex_);
    weight_ -= weight;
    if (added != 0) spoilt_ = true;
    throw;
  }
}

Result<UpdateChecked> RoundSum::add_reserved(const CheckUpdate& work, std::int64_t weight, BlobStore& blobs, std::size_t& added) {
  {
    const std::lock_guard lock(mutex_);
    parts_.reserve(parts_.size() + kAddersMax);  // so that nothing can fail once all is added
  }
  auto checked = check_ranges(work, blobs, [&](std::size_t first, std::span<const float> values) {
    const auto lock = ranges_.hold(first / kElements);
    const Added result = add_checked(std::span(sum_).subspan(first, values.size()), values, weight, scale_);
    if (!result.refused) added = first + values.size();
    return result;
  });
  if (!checked) take_out(work.update, added, weight, blobs);
  const std::lock_guard lock(mutex_);
  if (checked)
    parts_.push_back({work.update, static_cast<std::uint64_t>(weight)});
  else
    weight_ -= weight;
  return checked;
}

void RoundSum::take_out(const BlobRef& update, std::size_t elements, std::int64_t weight, BlobStore& blobs) {
  std::vector<float> buffer(std::min(kElements, elements));
  for (std::size_t first = 0; first < elements; first += kElements) {
    const std::span<float> values = std::span(buffer).first(std::min(kElements, elements - first));
    const std::span<std::uint8_t> bytes(reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes());
    if (!blobs.read_written(update.id, std::uint64_t{first} * sizeof(float), bytes)) {
      const std::lock_guard lock(mutex_);
      spoilt_ = true;
      return;
    }
    const auto lock = ranges_.hold(first / kElements);
    subtract(std::span(sum_).subspan(first, values.size()), values, weight, scale_);
  }
}

bool RoundSum::holds(std::vector<Contribution> parts) const {
  const auto before = [](const Contribution& a, const Contribution& b) {
    return std::tie(a.update, a.weight) < std::tie(b.update, b.weight);
  };
  const std::lock_guard lock(mutex_);
  std::vector<Contribution> mine = parts_;
  std::sort(mine.begin(), mine.end(), before);
  std::sort(parts.begin(), parts.end(), before);
  return !spoilt_ && mine == parts;
}

std::int64_t RoundSum::weight() const {
  const std::lock_guard lock(mutex_);
  return weight_;
}

}  // namespace covey
