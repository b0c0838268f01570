#include "core/tensor/op_shapes.h"

#include <algorithm>
#include <cmath>

namespace covey {
namespace {

void check_cpu(Tensor t, DType dtype) {
  COVEY_CHECK(t.dtype == dtype);
  COVEY_CHECK(t.device == Device::kCpu);
  COVEY_CHECK(t.data != nullptr || t.elements() == 0);
}

void check_real(Tensor t) {
  COVEY_CHECK(is_real(t.dtype));
  check_cpu(t, t.dtype);
}

MatrixSize folded(Tensor t) {  // leading dimensions become rows
  check_real(t);
  COVEY_CHECK(t.shape.rank() >= 1);
  const std::int64_t columns = t.dim(t.shape.rank() - 1);
  COVEY_CHECK(columns > 0);
  return {t.elements() / columns, columns};
}

void check_ints(Tensor t, std::int64_t count, std::int64_t low, std::int64_t end) {
  check_cpu(t, DType::kI32);
  COVEY_CHECK(t.elements() == count);
  std::uint64_t outside = 0;  // its highest bit, without a branch inside
  for (const std::int32_t value : t.ints())
    outside |= static_cast<std::uint64_t>((value - low) | (end - 1 - value));
  COVEY_CHECK((outside >> 63U) == 0);
}

}  // namespace

std::int64_t check_reals(Tensor a) {
  check_real(a);
  return a.elements();
}

std::int64_t check_same(Tensor a, Tensor b, Tensor c) {
  COVEY_CHECK(a.dtype == b.dtype && a.dtype == c.dtype);
  COVEY_CHECK(check_reals(a) == check_reals(b) && check_reals(a) == check_reals(c));
  return a.elements();
}

std::int64_t check_flat(Tensor a) {
  check_cpu(a, DType::kF32);
  return a.elements();
}

std::int64_t check_flat(Tensor a, Tensor b) {
  COVEY_CHECK(check_flat(a) == check_flat(b));
  return a.elements();
}

std::int64_t check_flat(Tensor a, Tensor b, Tensor c) {
  COVEY_CHECK(check_flat(a, b) == check_flat(c));
  return a.elements();
}

LinearSize check_linear(Tensor x, Tensor w, Tensor b, Tensor y) {
  const MatrixSize in = folded(x), out = folded(y), weight = folded(w);
  COVEY_CHECK(w.shape.rank() == 2 && w.dtype != DType::kF16);
  COVEY_CHECK(x.dtype == y.dtype || y.dtype == DType::kF32);
  COVEY_CHECK(in.rows == out.rows);
  COVEY_CHECK(in.columns == weight.columns && out.columns == weight.rows);
  if (!b.empty()) COVEY_CHECK(check_flat(b) == weight.rows);
  return {in.rows, weight.rows, weight.columns};
}

MatrixSize check_codes(Tensor codes, Tensor scales) {
  check_cpu(codes, DType::kI8);
  COVEY_CHECK(codes.shape.rank() == 2 && check_flat(scales) == codes.dim(0));
  return {codes.dim(0), codes.dim(1)};
}

LinearSize check_head(const Ops::HeadLoss& head) {
  const MatrixSize in = folded(head.x), weight = folded(head.w);
  check_flat(head.w);
  COVEY_CHECK(head.w.shape.rank() == 2 && in.columns == weight.columns);
  check_ints(head.targets, in.rows, -1, weight.rows);
  COVEY_CHECK(check_flat(head.losses) == in.rows);
  COVEY_CHECK(head.terms.smoothing >= 0 && head.terms.smoothing < 1);
  if (!head.dx.empty()) check_same(head.x, head.dx, head.dx);
  if (!head.dw.empty()) check_flat(head.w, head.dw);
  if (!head.kept.empty())
    COVEY_CHECK(head.kept.dtype == DType::kBf16 && head.kept.elements() >= std::min(in.rows, kHeadRows) * weight.rows);
  return {in.rows, weight.rows, weight.columns};
}

std::int64_t check_positions(Tensor y, Tensor positions) {
  check_real(y);
  COVEY_CHECK(y.shape.rank() == 3 && positions.shape.rank() == 2);
  COVEY_CHECK(check_flat(positions) >= y.dim(1) * y.dim(2) && positions.dim(1) == y.dim(2));
  return y.dim(1);
}

MatrixSize check_embedding(Tensor tokens, Tensor table, Tensor y) {
  const MatrixSize out = folded(y), rows = folded(table);
  COVEY_CHECK(table.shape.rank() == 2 && rows.columns == out.columns);
  check_flat(table);
  check_ints(tokens, out.rows, 0, rows.rows);
  return out;
}

MatrixSize check_rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) {
  const MatrixSize size = folded(x);
  check_same(x, y, y);
  COVEY_CHECK(check_flat(g) == size.columns && check_flat(rstd) == size.rows);
  return size;
}

AttentionSize check_heads(Tensor x) {
  check_real(x);
  COVEY_CHECK(x.shape.rank() == 4 && x.dim(3) > 0 && x.dim(3) % 2 == 0);
  return {x.dim(0), x.dim(1), x.dim(2), x.dim(2), x.dim(3)};
}

AttentionSize check_attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  check_same(q, y, y);
  check_same(k, v, v);
  COVEY_CHECK(q.dtype == k.dtype);
  COVEY_CHECK(q.shape.rank() == 4 && q.shape == y.shape && k.shape.rank() == 4 && k.shape == v.shape);
  COVEY_CHECK(q.dim(0) == k.dim(0) && q.dim(1) == k.dim(1) && q.dim(3) == k.dim(3) && q.dim(3) > 0);
  COVEY_CHECK(k.dim(2) > 0 && q.dim(2) % k.dim(2) == 0);
  COVEY_CHECK(q.elements() == check_flat(lse) * q.dim(3));
  return {q.dim(0), q.dim(1), q.dim(2), k.dim(2), q.dim(3)};
}

ConvSize check_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  check_flat(w), check_reals(x), check_reals(y);
  COVEY_CHECK(x.dtype == y.dtype);
  COVEY_CHECK(x.shape.rank() == 4 && w.shape.rank() == 4 && y.shape.rank() == 4);
  COVEY_CHECK(geometry.kernel > 0 && geometry.padding >= 0 && geometry.padding < geometry.kernel);
  const ConvSize size{.batch = x.dim(0), .in = x.dim(1), .out = w.dim(0),
                      .height = x.dim(2), .width = x.dim(3),
                      .kernel = geometry.kernel, .padding = geometry.padding,
                      .out_height = x.dim(2) + 2 * geometry.padding - geometry.kernel + 1,
                      .out_width = x.dim(3) + 2 * geometry.padding - geometry.kernel + 1};
  COVEY_CHECK(size.out_height > 0 && size.out_width > 0);
  COVEY_CHECK((w.shape == Shape{size.out, size.in, size.kernel, size.kernel}));
  COVEY_CHECK((y.shape == Shape{size.batch, size.out, size.out_height, size.out_width}));
  if (!b.empty()) COVEY_CHECK(check_flat(b) == size.out);
  return size;
}

ConvSize check_depthwise(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  check_flat(x), check_flat(w), check_flat(y);
  COVEY_CHECK(x.shape.rank() == 4 && w.shape.rank() == 4 && y.shape.rank() == 4);
  COVEY_CHECK(geometry.kernel > 0 && geometry.padding >= 0 && geometry.padding < geometry.kernel);
  const std::int64_t shrink = geometry.kernel - 1 - 2 * geometry.padding;
  const ConvSize size{.batch = x.dim(0), .in = x.dim(1), .out = x.dim(1), .height = x.dim(2), .width = x.dim(3),
                      .kernel = geometry.kernel, .padding = geometry.padding,
                      .out_height = x.dim(2) - shrink, .out_width = x.dim(3) - shrink};
  COVEY_CHECK(size.out_height > 0 && size.out_width > 0);
  COVEY_CHECK((w.shape == Shape{size.in, 1, size.kernel, size.kernel}));
  COVEY_CHECK((y.shape == Shape{size.batch, size.in, size.out_height, size.out_width}));
  if (!b.empty()) COVEY_CHECK(check_flat(b) == size.in);
  return size;
}

PoolSize check_maxpool2(Tensor x, Tensor y, Tensor argmax) {
  check_reals(x), check_reals(y);
  COVEY_CHECK(x.dtype == y.dtype);
  COVEY_CHECK(x.shape.rank() == 4 && argmax.shape == y.shape);
  COVEY_CHECK((y.shape == Shape{x.dim(0), x.dim(1), x.dim(2) / 2, x.dim(3) / 2}));
  check_cpu(argmax, DType::kI32);
  return {x.dim(0) * x.dim(1), x.dim(2), x.dim(3)};
}

PoolSize check_maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const PoolSize size = check_maxpool2(dx, dy, argmax);
  return size;
}

ExampleSize check_examples(Tensor x, Tensor numbers) {
  const MatrixSize size = folded(x);
  const std::int64_t examples = check_flat(numbers);
  COVEY_CHECK(examples > 0 && size.rows % examples == 0);
  return {examples, size.rows / examples, size.columns};
}

MatrixSize check_loss(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits, LossTerms terms) {
  COVEY_CHECK(terms.smoothing >= 0 && terms.smoothing < 1);
  const MatrixSize size = folded(logits);
  check_ints(targets, size.rows, -1, size.columns);
  COVEY_CHECK(check_flat(losses) == size.rows);
  if (!dlogits.empty()) check_same(logits, dlogits, dlogits);
  return size;
}

std::int64_t check_sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_flat(p, g);
  if (step.momentum != 0) COVEY_CHECK(check_flat(velocity) == n);
  return n;
}

std::int64_t check_adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) {
  COVEY_CHECK(step.step >= 1);
  if (!shadow.empty()) {
    check_cpu(shadow, DType::kBf16);
    COVEY_CHECK(shadow.elements() == p.elements());
  }
  COVEY_CHECK(check_flat(p, g) == check_flat(m, v));
  return p.elements();
}

MatrixSize check_muon(Tensor p, Tensor g, Tensor momentum) {
  check_flat(p, g, momentum);
  COVEY_CHECK(p.shape.rank() == 2 && p.shape == g.shape && p.shape == momentum.shape);
  return {p.dim(0), p.dim(1)};
}

DropoutKey dropout_key(Dropout coins) {
  COVEY_CHECK(coins.rate >= 0 && coins.rate < 1);
  // Steele et al. 2014 (SplitMix64): near settings get unrelated keys.
  std::uint64_t z = coins.seed + 0x9E3779B97F4A7C15U * (coins.stream + 1);
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return {static_cast<std::uint32_t>(z), static_cast<std::uint32_t>(z >> 32),
          static_cast<std::uint32_t>(double{coins.rate} * 0x1p32), 1.0F / (1.0F - coins.rate)};
}

float muon_scale(std::int64_t rows, std::int64_t columns) {
  const double ratio = static_cast<double>(rows) / static_cast<double>(columns);
  return static_cast<float>(std::sqrt(std::max(1.0, ratio)));
}

}  // namespace covey
