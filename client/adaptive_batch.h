// The batch that gradient noise asks for. McCandlish et al. 2018, "An Empirical Model of Large-Batch
// Training": far below the simple noise scale a larger batch saves steps in proportion, far above it
// examples are wasted. What is estimated here is of a site's data and stays with it.
#pragma once
#include <cstdint>
#include <optional>

#include "core/spec/train_spec.h"

namespace covey {

// The squared L2 norm of the mean gradient over so many examples.
struct GradientSize {
  double squared_norm = 0;
  double examples = 0;
};

// B_simple = tr(S) / |G|^2, where S is the covariance of one example's gradient and G the true gradient:
// both from the norms at two batch sizes (appendix A.1), each averaged over the steps, the latest most.
class NoiseScale {
 public:
  // small.examples < large.examples. Norms that are not finite are left out.
  void add(GradientSize small, GradientSize large);
  // In examples; 0 where no noise is seen, infinite where no gradient is seen for it. Nothing before the first add().
  std::optional<double> value() const;

 private:
  double gradient_ = 0, noise_ = 0;  // sums of the latest, older ones weighing less
  bool any_ = false;
};

// Doubles the batch where the noise scale is at least twice as large, halves it where it is at most half.
class AdaptiveBatch {
 public:
  explicit AdaptiveBatch(const TrainSpec& spec)  // one that adapts_batch()
      : size_(spec.batch_size), least_(spec.smallest_batch()), most_(spec.batch_max) {}

  std::uint32_t size() const { return size_; }
  std::optional<double> noise_scale() const { return noise_.value(); }
  void measured(GradientSize small, GradientSize large);  // after a step

 private:
  NoiseScale noise_;
  std::uint32_t size_, least_, most_;
  std::uint32_t steps_ = 0;  // measured with this size
};

}  // namespace covey
