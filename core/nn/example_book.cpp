#include "core/nn/example_book.h"

#include <algorithm>
#include <cmath>

namespace covey {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t bytes_of(std::int64_t elements, DType type) {
  const std::size_t bytes = static_cast<std::size_t>(elements) * size_of(type);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

Tensor ExamplePart::operator()(Tensor whole) const {
  if (examples_ == 1) return whole;
  const std::int64_t each = whole.dim(0) / examples_, elements = whole.elements() / examples_;
  COVEY_CHECK(each * examples_ == whole.dim(0));
  Shape shape{each};
  if (whole.shape.rank() == 2) shape = {each, whole.dim(1)};
  if (whole.shape.rank() == 4) shape = {each, whole.dim(1), whole.dim(2), whole.dim(3)};
  COVEY_CHECK(shape.elements() == elements);
  auto* data = static_cast<std::byte*>(whole.data) + static_cast<std::size_t>(example_ * elements) * size_of(whole.dtype);
  return {data, shape, whole.dtype, whole.device};
}

void ExampleBook::want_gradient(std::int64_t elements, DType type) {
  if (keeps()) gradient_bytes_ += bytes_of(elements, type);
}

void ExampleBook::want_instances(std::int64_t elements) { instance_floats_ += static_cast<std::size_t>(elements) + kAlignment; }

void ExampleBook::take_from(const Plan& plan) {
  const auto batch = static_cast<std::size_t>(plan.largest.batch);
  const std::size_t bytes = gradient_bytes_ + batch * instance_floats_ * sizeof(float);
  memory_ = plan.arena.take({static_cast<std::int64_t>(bytes)}, DType::kU8);
  squares_ = plan.arena.take({plan.largest.batch});
  factors_ = plan.arena.take({plan.largest.batch});
}

void ExampleBook::begin(Ops& ops, Extent extent) {
  ops_ = &ops;
  extent_ = extent;
  used_ = 0;
  entries_.clear();
  instances_.clear();
  convs_.clear();
  head_ = {};
  ops.fill(squares(), 0);
}

Tensor ExampleBook::piece(Shape shape, DType type) {
  const std::size_t begin = used_;
  used_ += bytes_of(shape.elements(), type);
  COVEY_CHECK(used_ <= static_cast<std::size_t>(memory_.elements()));
  return {static_cast<std::byte*>(memory_.data) + begin, shape, type, memory_.device};
}

bool ExampleBook::holds(Tensor tensor) const {
  const auto* begin = static_cast<const std::byte*>(memory_.data);
  const auto* data = static_cast<const std::byte*>(tensor.data);
  return std::greater_equal<>()(data, begin) && std::less<>()(data, begin + memory_.elements());
}

Tensor ExampleBook::gradient_memory(Shape shape, DType type) {
  COVEY_CHECK(keeps());
  return piece(shape, type);
}

Tensor ExampleBook::instances(Tensor gradient) {
  const auto known = std::find_if(instances_.begin(), instances_.end(),
                                  [&](const Instances& one) { return one.gradient.data == gradient.data; });
  if (known != instances_.end()) return known->values;
  const Tensor values = piece({examples(), gradient.elements()}, DType::kF32);
  ops_->fill(values, 0);
  instances_.push_back({gradient, values});
  return values;
}

void ExampleBook::linear(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  ops_->linear_grad_squares(dy, x, db.empty() ? Bias::kNone : Bias::kCounts, squares());
  if (!keeps()) return;
  Tensor kept = dy;
  if (!holds(dy)) {
    kept = piece(dy.shape, dy.dtype);
    ops_->convert(dy, kept);
  }
  entries_.push_back({kept, x, dw, db});
}

void ExampleBook::first_linear(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  COVEY_CHECK(keeps());
  linear(dy, x, dw, db);
  entries_.back().sets = true;
}

void ExampleBook::conv(const Ops::ConvPoolGrad& grad) {
  COVEY_CHECK(keeps());
  const Tensor kept = piece({examples(), conv_example_floats(grad.w.shape)}, DType::kF32);
  ops_->conv2d_pool_example_grads(grad, kept, squares());
  convs_.push_back({grad, kept});
}

void ExampleBook::head(Tensor dlogits, Tensor x, Tensor dw) {
  ops_->linear_grad_squares(dlogits, x, Bias::kNone, squares());
  head_ = {dlogits, x, dw, {}};
  if (keeps()) entries_.push_back(head_);
}

void ExampleBook::embedding(Tensor tokens, Tensor dy, Tensor dtable, Tensor dpositions) {
  // A position is one row of each example.
  if (!dpositions.empty()) ops_->example_squares(dy, squares());
  if (!dtable.empty()) ops_->embedding_grad_squares(tokens, dy, squares());
  const bool tied = !dtable.empty() && head_.dw.data == dtable.data;
  if (tied) ops_->tied_grad_squares(head_.dy, head_.x, tokens, dy, squares());
  if (keeps()) entries_.push_back({dy, tokens, dtable, dpositions});
}

void ExampleBook::clip(std::span<const double> scales, double bound, double scale) {
  COVEY_CHECK(scales.size() == static_cast<std::size_t>(examples()));
  for (const Instances& one : instances_) ops_->example_squares(one.values, squares());
  norms_.resize(scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const double norm = scales[i] * std::sqrt(std::max(0.0, double{squares_.f32()[i]}));
    norms_[i] = static_cast<float>(norm);
    // A norm that is no number stays one in the sum, and the step is refused.
    const double kept = norm > bound ? bound / norm : std::isnan(norm) ? norm : 1;
    factors_.f32()[i] = static_cast<float>(scale * scales[i] * kept);
  }
}

double ExampleBook::add_clipped() {
  COVEY_CHECK(keeps());
  double set_squares = 0;
  for (const ConvEntry& conv : convs_) ops_->add_conv_examples(conv.grad, conv.kept, factors());
  for (const Instances& one : instances_) {
    const std::int64_t elements = one.gradient.elements();
    ops_->linear_grad_weight(factors().reshaped({examples(), 1}), one.values, one.gradient.reshaped({1, elements}), {});
  }
  for (const Entry& entry : entries_) {
    ops_->scale_examples(entry.dy, factors());
    if (entry.sets) {
      set_squares += ops_->linear_first_grad_weight(entry.dy, entry.x, entry.dw, entry.db);
      continue;
    }
    if (entry.x.dtype != DType::kI32) {
      ops_->linear_grad_weight(entry.dy, entry.x, entry.dw, entry.db);
      continue;
    }
    const Tensor by_position = entry.dy.reshaped({examples(), extent_.length, entry.dy.dim(1)});
    if (!entry.db.empty()) ops_->positions_grad(by_position, entry.db);
    if (!entry.dw.empty()) ops_->embedding_grad(entry.x, entry.dy, entry.dw);
  }
  return set_squares;
}

}  // namespace covey
