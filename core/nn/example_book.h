// Clipping of each example's gradient (Abadi et al. 2016) by book-keeping (Bu et al. 2023): while one
// backward pass runs, layers enter what each example's gradients measure, by ghost norms (Li et al. 2022) or
// by instances, and the book keeps what the clipped sum is made of, so that it costs a weight one product
// more. An example is one index of the batch: a row of a table, an image, a sequence with all its tokens.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/nn/layer.h"

namespace covey {

// keep: output gradients stay until add_clipped(). norms: none does, for blocks are computed twice anyway,
// and the clipped sum is made by a second backward pass.
enum class BookKind : std::uint8_t { kKeep, kNorms };

class ExampleBook {
 public:
  explicit ExampleBook(BookKind kind = BookKind::kKeep) : kind_(kind) {}

  // While planning, of the largest extent.
  void want_gradient(std::int64_t elements, DType type);  // an output gradient, of all examples
  void want_instances(std::int64_t elements);             // a parameter's gradient, for each example
  void take_from(const Plan& plan);

  // Before each forward and backward pass.
  void begin(Ops& ops, Extent extent);
  bool keeps() const { return kind_ == BookKind::kKeep; }
  // Memory for an output gradient, which linear() then need not copy. Only where keeps().
  Tensor gradient_memory(Shape shape, DType type);
  // f32 [B, elements of `gradient`], zero when first asked for in a pass: what each example adds to it.
  Tensor instances(Tensor gradient);
  // In place of Ops::linear_grad_weight, embedding_grad and positions_grad; gradients may be empty. linear():
  // x stays as it is until the end of the pass; the others: dy too.
  void linear(Tensor dy, Tensor x, Tensor dw, Tensor db);
  // The same where dw holds nothing yet: add_clipped() sets it. Only where keeps().
  void first_linear(Tensor dy, Tensor x, Tensor dw, Tensor db);
  // In place of Ops::conv2d_pool_grad. Only where keeps(). x stays as it is until the end of the pass.
  void conv(const Ops::ConvPoolGrad& grad);
  void head(Tensor dlogits, Tensor x, Tensor dw);
  void embedding(Tensor tokens, Tensor dy, Tensor dtable, Tensor dpositions);

  // After the pass. Gradients count times `scales` [B]; `factors` becomes what is left of each after clipping
  // to L2 norm `bound`, times its scale and `scale`.
  void clip(std::span<const double> scales, double bound, double scale);
  Tensor factors() const { return cut(factors_, {examples()}); }
  // L2 norms of the examples' gradients, times their scales, before clipping.
  std::span<const float> norms() const { return norms_; }
  // Adds the clipped sum to the gradients. Only where keeps(); what was kept is not valid afterwards.
  // Returns the sum of the squares of what it set.
  double add_clipped();

 private:
  struct Entry {
    Tensor dy, x, dw, db;  // x in tokens: an embedding, and db is of its positions
    bool sets = false;     // dw
  };
  struct Instances {
    Tensor gradient, values;
  };
  struct ConvEntry {
    Ops::ConvPoolGrad grad;
    Tensor kept;
  };
  std::int64_t examples() const { return extent_.batch; }
  Tensor squares() const { return cut(squares_, {examples()}); }
  bool holds(Tensor tensor) const;
  Tensor piece(Shape shape, DType type);

  BookKind kind_;
  std::size_t gradient_bytes_ = 0, instance_floats_ = 0, used_ = 0;
  Tensor memory_, squares_, factors_;  // u8; f32 [B] twice
  Ops* ops_ = nullptr;
  Extent extent_;
  std::vector<Entry> entries_;
  std::vector<Instances> instances_;
  std::vector<ConvEntry> convs_;
  Entry head_;
  std::vector<float> norms_;
};

// The whole of a tensor, or what one example has of it.
class ExamplePart {
 public:
  ExamplePart(std::int64_t example, std::int64_t examples) : example_(example), examples_(examples) {}
  Tensor operator()(Tensor whole) const;

 private:
  std::int64_t example_, examples_;
};

// Makes gradients of parameters that no entry is for: add(part, dweight, dbias) with the whole of the batch
// or, with a book, for each example, whose tensors part() cuts out. Where `bias` is not trained dbias is empty.
template <class Add>
void add_gradients(const Pass& pass, const Parameter& weight, const Parameter& bias, Add add) {
  if (pass.book == nullptr) return add(ExamplePart(0, 1), weight.gradient, bias.gradient);
  const std::int64_t examples = pass.extent.batch;
  const Tensor weights = pass.book->instances(weight.gradient);
  const Tensor biases = bias.trained() ? pass.book->instances(bias.gradient) : Tensor{};
  for (std::int64_t i = 0; i < examples; ++i) {
    const ExamplePart part(i, examples);
    add(part, part(weights).reshaped(weight.gradient.shape),
        biases.empty() ? Tensor{} : part(biases).reshaped(bias.gradient.shape));
  }
}

// Ops::linear_grad_weight, or with a book its entry.
inline void add_linear_gradient(const Pass& pass, Tensor dy, Tensor x, const Parameter& weight, const Parameter& bias) {
  if (pass.book == nullptr) return pass.ops.linear_grad_weight(dy, x, weight.gradient, bias.gradient);
  pass.book->linear(dy, x, weight.gradient, bias.gradient);
}

}  // namespace covey
