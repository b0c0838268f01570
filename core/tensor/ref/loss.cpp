#include <algorithm>
#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

using ref::at;
using ref::put;

std::int64_t RefOps::softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits,
                                           LossTerms terms) {
  const auto [m, v] = check_loss(logits, targets, losses, dlogits, terms);
  const double e = double{terms.smoothing}, even = e / static_cast<double>(v);
  std::int64_t correct = 0;
  std::vector<double> row(static_cast<std::size_t>(v));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < v; ++j) row[static_cast<std::size_t>(j)] = at(logits, i * v + j);
    const std::int32_t target = targets.i32()[i];
    put(losses, i, 0);
    if (target < 0) {
      for (std::int64_t j = 0; j < v && !dlogits.empty(); ++j) put(dlogits, i * v + j, 0);
      continue;
    }
    const auto best = std::max_element(row.begin(), row.end());  // the first of equals
    const double largest = *best;
    correct += best - row.begin() == target;
    double sum = 0, total = 0;
    for (const double logit : row) {
      sum += std::exp(logit - largest);
      total += logit;
    }
    const double lse = largest + std::log(sum);
    put(losses, i, lse - (1 - e) * row[static_cast<std::size_t>(target)] - even * total);
    for (std::int64_t j = 0; j < v && !dlogits.empty(); ++j) {
      const double p = std::exp(row[static_cast<std::size_t>(j)] - lse);
      put(dlogits, i * v + j, (p - even - (j == target ? 1.0 - e : 0.0)) * double{terms.scale});
    }
  }
  return correct;
}

std::int64_t RefOps::head_loss(const HeadLoss& head) {
  const auto [m, v, d] = check_head(head);
  std::vector<float> logits(static_cast<std::size_t>(m * v));
  const Tensor all = tensor_of(std::span(logits), {m, v});
  linear(head.x, head.w, {}, all);
  const bool gradients = !head.dx.empty();
  const std::int64_t correct =
      softmax_cross_entropy(all, head.targets, head.losses, gradients ? all : Tensor{}, head.terms);
  if (!gradients) return correct;
  std::vector<float> x(static_cast<std::size_t>(m * d)), dx(x.size());
  const Tensor wide = tensor_of(std::span(x), {m, d}), sums = tensor_of(std::span(dx), {m, d});
  convert(head.x, wide);
  linear_grad_input(all, head.w, sums);
  convert(sums, head.dx);
  if (head.dw.empty()) return correct;
  if (head.into == Into::kSet) fill(head.dw, 0);
  linear_grad_weight(all, wide, head.dw, {});
  return correct;
}

}  // namespace covey
