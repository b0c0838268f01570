#include "core/nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace covey {
namespace {

Tensor flat(std::span<float> values) {
  return tensor_of(values, {static_cast<std::int64_t>(values.size())});
}

// Scales the gradient down to the norm that the spec allows; returns its norm before.
// The 1e-6 is torch.nn.utils.clip_grad_norm_'s.
double clip(const TrainSpec& spec, std::span<float> gradients, Ops& ops) {
  const double norm = std::sqrt(ops.squared_norm(flat(gradients)));
  if (spec.clip_norm > 0) {
    const double factor = spec.clip_norm / (norm + 1e-6);
    if (factor < 1) ops.scale(flat(gradients), static_cast<float>(factor));
  }
  return norm;
}

class SgdOptimizer final : public Optimizer {
 public:
  SgdOptimizer(const TrainSpec& spec, std::size_t size, Ops& ops)
      : spec_(spec), size_(size), ops_(ops), velocity_(spec.momentum > 0 ? size : 0) {}

  double step(std::span<float> parameters, std::span<float> gradients, double progress) override {
    COVEY_CHECK(parameters.size() == size_ && gradients.size() == size_);
    const double norm = clip(spec_, gradients, ops_);
    const SgdStep step{static_cast<float>(spec_.learning_rate * spec_.schedule_factor(progress)),
                       static_cast<float>(spec_.momentum), static_cast<float>(spec_.weight_decay),
                       first_};
    ops_.sgd(flat(parameters), flat(gradients), velocity_.empty() ? Tensor{} : flat(velocity_), step);
    first_ = false;
    return norm;
  }

  void reset() override { first_ = true; }  // the first step overwrites the velocity

 private:
  TrainSpec spec_;
  std::size_t size_;
  Ops& ops_;
  std::vector<float> velocity_;
  bool first_ = true;
};

class AdamWOptimizer final : public Optimizer {
 public:
  AdamWOptimizer(const TrainSpec& spec, std::size_t size, Ops& ops)
      : spec_(spec), size_(size), ops_(ops), mean_(size), square_(size) {}

  double step(std::span<float> parameters, std::span<float> gradients, double progress) override {
    COVEY_CHECK(parameters.size() == size_ && gradients.size() == size_);
    const double norm = clip(spec_, gradients, ops_);
    ++steps_;
    const AdamWStep step{static_cast<float>(spec_.learning_rate * spec_.schedule_factor(progress)),
                         static_cast<float>(spec_.beta1), static_cast<float>(spec_.beta2),
                         static_cast<float>(spec_.epsilon), static_cast<float>(spec_.weight_decay),
                         steps_};
    ops_.adamw(flat(parameters), flat(gradients), flat(mean_), flat(square_), step);
    return norm;
  }

  void reset() override {
    steps_ = 0;
    std::fill(mean_.begin(), mean_.end(), 0.0f);
    std::fill(square_.begin(), square_.end(), 0.0f);
  }

 private:
  TrainSpec spec_;
  std::size_t size_;
  Ops& ops_;
  std::vector<float> mean_, square_;
  std::int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, std::size_t size, Ops& ops) {
  switch (spec.optimizer) {
    case LocalOptimizer::kSgd: return std::make_unique<SgdOptimizer>(spec, size, ops);
    case LocalOptimizer::kAdamW: return std::make_unique<AdamWOptimizer>(spec, size, ops);
  }
  COVEY_CHECK(false);
  return nullptr;
}

}  // namespace covey
