// A linear layer as a part of others: y[M,N] = x[M,K] w[N,K]^T + b[N], frozen or trained, with or
// without an adapter.
#pragma once
#include <span>

#include "core/nn/layer.h"

namespace covey {

// Hu et al. 2021: y += scale * (dropped(x) a^T) b^T.
struct Adapter {
  Parameter a, b;  // [R,K], [N,R]
  float scale = 0;
  float dropout = 0;
  std::uint64_t place = 0;  // of its coins
};

class Projection {
 public:
  Projection() = default;
  Projection(Parameter weight, Parameter bias, Adapter adapter = {})
      : weight_(weight), bias_(bias), adapter_(adapter) {}

  std::int64_t inputs() const { return weight_.value.dim(1); }
  std::int64_t outputs() const { return weight_.value.dim(0); }
  // Where gradient()'s dy may lie: there, or in the book that would keep it.
  Tensor output_gradient(const Pass& pass, Tensor there) const;
  bool trained() const { return weight_.trained() || bias_.trained() || adapter_.a.trained(); }
  Tensor set_first() const { return weight_.gradient; }  // without a book; empty where it is frozen

  void plan(const Plan& plan, std::int64_t rows);
  void forward(const Pass& pass, Tensor x, Tensor y);
  // Adds to the gradients of what is trained. `x` as in forward.
  void gradient(const Pass& pass, Tensor dy, Tensor x);
  void input_gradient(const Pass& pass, Tensor dy, Tensor dx);

  // Up to three that read the same x. `tensor`: y in forward, dy in the others.
  struct Use {
    Projection* part;
    Tensor tensor;
  };
  static void forward(const Pass& pass, Tensor x, std::span<const Use> uses);
  static void gradient(const Pass& pass, std::span<const Use> uses, Tensor x);
  // dx = the sum of theirs; `room` is like dx.
  static void input_gradient(const Pass& pass, std::span<const Use> uses, Tensor dx, Tensor room);

 private:
  // Nothing but a weight and a bias that an operation takes as they are.
  bool plain() const { return !adapted() && weight_.value.dtype != DType::kI8; }
  bool adapted() const { return adapter_.a.exists(); }
  bool drops(const Pass& pass) const { return pass.coins.thrown && adapter_.dropout > 0; }
  // With the weight as it is held; `y` without the adapter's part, `dx` too.
  void product(const Pass& pass, Tensor x, Tensor y) const;
  void product_input_gradient(const Pass& pass, Tensor dy, Tensor dx) const;
  Tensor dropped(const Pass& pass, Tensor x) const;
  Tensor scaled(const Pass& pass);  // scale * b
  Ops::GradientPart gradient_part(const Pass& pass, Tensor dy) const;  // without a book
  void adapter_gradient(const Pass& pass, Tensor dy, Tensor x);

  Parameter weight_, bias_;
  Adapter adapter_;
  Tensor scaled_, low_;  // [N,R] f32; dropped(x) a^T [M,R]
};

}  // namespace covey
