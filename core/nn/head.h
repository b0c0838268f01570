// The end of a model: from the last layer's output to logits and the loss.
#pragma once
#include "core/nn/layer.h"

namespace covey {

struct LossCall {
  Tensor targets, losses;  // i32 [M], f32 [M]
  LossTerms terms;         // scale: of the gradient
};

class Head {
 public:
  virtual ~Head() = default;
  virtual void plan(const Plan& plan) = 0;
  virtual Tensor logits(const Pass& pass, Tensor x) = 0;  // f32 [M, outputs], valid until the next call
  // Writes the losses; returns how many targets were their rows' largest logit.
  virtual std::int64_t loss(const Pass& pass, Tensor x, const LossCall& call) = 0;
  // The same, adds to the gradients of its parameters and returns dx.
  virtual Tensor backward(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct) = 0;
  // After backward with a book that keeps nothing: once more, each example's gradient times its factor
  // f32 [B]. `x` as there.
  virtual Tensor backward_again(const Pass& pass, Tensor x, Tensor factors) = 0;
  virtual bool trained() const = 0;
  virtual SetFirst set_first() const { return {}; }  // empty where there is none
};

// The last layer's outputs are the logits, in the type of the activations.
class ClassHead final : public Head {
 public:
  explicit ClassHead(std::int64_t classes) : classes_(classes) {}
  void plan(const Plan& plan) override {
    if (plan.activations != DType::kF32) logits_ = plan.arena.take({plan.largest.rows(), classes_});
  }
  Tensor logits(const Pass& pass, Tensor x) override {
    if (x.dtype == DType::kF32) return x;
    const Tensor wide = cut(logits_, x.shape);
    pass.ops.convert(x, wide);
    return wide;
  }
  std::int64_t loss(const Pass& pass, Tensor x, const LossCall& call) override {
    return pass.ops.softmax_cross_entropy(x, call.targets, call.losses, {}, call.terms);
  }
  Tensor backward(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct) override {
    correct = pass.ops.softmax_cross_entropy(x, call.targets, call.losses, x, call.terms);
    return x;  // its memory serves its gradient
  }
  Tensor backward_again(const Pass& pass, Tensor x, Tensor factors) override {
    pass.ops.scale_examples(x, factors);
    return x;
  }
  bool trained() const override { return false; }

 private:
  std::int64_t classes_;
  Tensor logits_;
};

}  // namespace covey
