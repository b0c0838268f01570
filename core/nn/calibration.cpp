#include "core/nn/calibration.h"

#include <algorithm>
#include <cmath>

namespace covey {

void Calibration::add(Tensor logits, Tensor targets) {
  COVEY_CHECK(logits.shape.rank() == 2 && targets.elements() == logits.dim(0));
  const auto classes = static_cast<std::size_t>(logits.dim(1));
  for (std::int64_t i = 0; i < logits.dim(0); ++i) {
    const std::int32_t target = targets.i32()[i];
    if (target < 0) continue;
    const auto row = logits.floats().subspan(static_cast<std::size_t>(i) * classes, classes);
    const auto best = std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float logit : row) sum += std::exp(double{logit} - double{*best});
    loss_sum_ += std::log(sum) + double{*best} - double{row[static_cast<std::size_t>(target)]};
    const bool right = best - row.begin() == target;
    const double confidence = 1 / sum;  // NaN, of logits that are no numbers, goes into the first bin
    const double place = confidence * static_cast<double>(bins_.size());
    Bin& bin = bins_[place >= 1 ? std::min(bins_.size() - 1, static_cast<std::size_t>(place)) : 0];
    bin.confidence += confidence;
    ++bin.count;
    bin.correct += right ? 1 : 0;
    ++targets_;
    correct_ += right ? 1 : 0;
  }
}

double Calibration::loss() const { return targets_ == 0 ? 0 : loss_sum_ / static_cast<double>(targets_); }

double Calibration::accuracy() const {
  return targets_ == 0 ? 0 : static_cast<double>(correct_) / static_cast<double>(targets_);
}

double Calibration::calibration_error() const {
  double error = 0;
  for (const Bin& bin : bins_) error += std::abs(bin.confidence - static_cast<double>(bin.correct));
  return targets_ == 0 ? 0 : error / static_cast<double>(targets_);
}

}  // namespace covey
