#include "core/tensor/op_shapes.h"

#include <algorithm>

namespace covey {
namespace {

void check_cpu(Tensor t, DType dtype) {
  COVEY_CHECK(t.dtype == dtype);
  COVEY_CHECK(t.device == Device::kCpu);
  COVEY_CHECK(t.data != nullptr || t.elements() == 0);
}

MatrixSize folded(Tensor t) {  // leading dimensions become rows
  check_cpu(t, DType::kF32);
  COVEY_CHECK(t.shape.rank() >= 1);
  const std::int64_t columns = t.dim(t.shape.rank() - 1);
  COVEY_CHECK(columns > 0);
  return {t.elements() / columns, columns};
}

void check_ints(Tensor t, std::int64_t count, std::int64_t low, std::int64_t end) {
  check_cpu(t, DType::kI32);
  COVEY_CHECK(t.elements() == count);
  std::int64_t smallest = low, largest = low;
  for (const std::int32_t value : t.ints()) {  // without a branch inside
    smallest = std::min<std::int64_t>(smallest, value);
    largest = std::max<std::int64_t>(largest, value);
  }
  COVEY_CHECK(smallest >= low && (largest < end || count == 0));
}

}  // namespace

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
  COVEY_CHECK(w.shape.rank() == 2);
  COVEY_CHECK(in.rows == out.rows);
  COVEY_CHECK(in.columns == weight.columns && out.columns == weight.rows);
  if (!b.empty()) COVEY_CHECK(check_flat(b) == weight.rows);
  return {in.rows, weight.rows, weight.columns};
}

MatrixSize check_embedding(Tensor tokens, Tensor table, Tensor y) {
  const MatrixSize out = folded(y), rows = folded(table);
  COVEY_CHECK(table.shape.rank() == 2 && rows.columns == out.columns);
  check_ints(tokens, out.rows, 0, rows.rows);
  return out;
}

MatrixSize check_rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) {
  const MatrixSize size = folded(x);
  COVEY_CHECK(check_flat(x, y) == size.rows * size.columns);
  COVEY_CHECK(check_flat(g) == size.columns && check_flat(rstd) == size.rows);
  return size;
}

AttentionSize check_heads(Tensor x) {
  check_cpu(x, DType::kF32);
  COVEY_CHECK(x.shape.rank() == 4 && x.dim(3) > 0 && x.dim(3) % 2 == 0);
  return {x.dim(0), x.dim(1), x.dim(2), x.dim(3)};
}

AttentionSize check_attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  check_flat(q, k, v);
  COVEY_CHECK(q.shape.rank() == 4 && q.shape == k.shape && q.shape == v.shape && q.shape == y.shape);
  COVEY_CHECK(q.dim(3) > 0);
  COVEY_CHECK(check_flat(q, y) == check_flat(lse) * q.dim(3));
  return {q.dim(0), q.dim(1), q.dim(2), q.dim(3)};
}

ConvSize check_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  check_flat(x), check_flat(w), check_flat(y);
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

PoolSize check_maxpool2(Tensor x, Tensor y, Tensor argmax) {
  check_flat(x), check_flat(y);
  COVEY_CHECK(x.shape.rank() == 4 && argmax.shape == y.shape);
  COVEY_CHECK((y.shape == Shape{x.dim(0), x.dim(1), x.dim(2) / 2, x.dim(3) / 2}));
  check_cpu(argmax, DType::kI32);
  return {x.dim(0) * x.dim(1), x.dim(2), x.dim(3)};
}

PoolSize check_maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const PoolSize size = check_maxpool2(dx, dy, argmax);
  check_ints(argmax, dy.elements(), 0, size.height * size.width);
  return size;
}

MatrixSize check_loss(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits) {
  const MatrixSize size = folded(logits);
  check_ints(targets, size.rows, -1, size.columns);
  COVEY_CHECK(check_flat(losses) == size.rows);
  if (!dlogits.empty()) check_flat(logits, dlogits);
  return size;
}

std::int64_t check_sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_flat(p, g);
  if (step.momentum != 0) COVEY_CHECK(check_flat(velocity) == n);
  return n;
}

std::int64_t check_adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) {
  COVEY_CHECK(step.step >= 1);
  COVEY_CHECK(check_flat(p, g) == check_flat(m, v));
  return p.elements();
}

}  // namespace covey
