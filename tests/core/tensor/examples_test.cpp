// Norms of each example's gradients: against `ref`, in every type, by inner products and by the gradient itself;
// and `ref` against the gradients that its other operations make.
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBf16, DType::kF16};

struct Sizes {
  std::int64_t examples, rows, n, k;
};
// Rows against n k / (n + k) decide which way a product's norms come.
constexpr Sizes kSizes[] = {{1, 1, 3, 5}, {4, 1, 33, 70}, {3, 7, 5, 4}, {2, 5, 64, 48}, {3, 64, 200, 160}, {2, 130, 96, 80}};

double square_of(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return sum;
}

Tensor part_of(Tensor t, std::int64_t example, std::int64_t examples) {
  const std::int64_t each = t.elements() / examples, rows = t.dim(0) / examples;
  t.data = static_cast<char*>(t.data) + example * each * 4;
  t.shape = t.shape.rank() == 1 ? Shape{rows} : Shape{rows, t.dim(1)};
  return t;
}

TEST_CASE("examples: norms of what a product's weight and bias get, and of the examples themselves") {
  Random random(61);
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const auto& [b, t, n, k] : kSizes) {
      CAPTURE(t);
      const Array dy = as(type, normal(random, {b * t, n})), x = as(type, normal(random, {b * t, k}));
      const Array squares = constant({b}, 2.0F);
      for (const Bias bias : {Bias::kNone, Bias::kCounts})
        check_against_ref("linear_grad_squares", {dy, x, squares}, [bias](Ops& o, const Tensors& a) {
          o.linear_grad_squares(a[0], a[1], bias, a[2]);
        }, 1e-5);
      check_against_ref("example_squares", {dy, squares}, [](Ops& o, const Tensors& a) { o.example_squares(a[0], a[1]); }, 1e-5);
      const Array factors = normal(random, {b});
      check_against_ref("scale_examples", {dy, factors}, [](Ops& o, const Tensors& a) { o.scale_examples(a[0], a[1]); },
                        tolerance_of(type));
    }
  }
}

TEST_CASE("examples: norms of what an embedding gets, with and without a tied head") {
  Random random(62);
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const auto& [b, t, v, d] : kSizes) {
      const Array tokens = integers(random, {b * t}, 0, static_cast<std::int32_t>(v)), squares = constant({b}, 2.0F);
      const Array dy = as(type, normal(random, {b * t, d})), x = as(type, normal(random, {b * t, d}));
      const Array dlogits = as(type, normal(random, {b * t, v}));
      check_against_ref("embedding_grad_squares", {tokens, dy, squares}, [](Ops& o, const Tensors& a) {
        o.embedding_grad_squares(a[0], a[1], a[2]);
      }, 1e-5);
      check_against_ref("tied_grad_squares", {dlogits, x, tokens, dy, squares}, [](Ops& o, const Tensors& a) {
        o.tied_grad_squares(a[0], a[1], a[2], a[3], a[4]);
      }, 1e-5);
    }
  }
}

TEST_CASE("examples: the reference's norms are those of the gradients, one example at a time") {
  Random random(63);
  const std::unique_ptr<Ops> ref = make_ref_ops();
  for (const auto& [b, t, n, k] : {Sizes{4, 1, 3, 5}, Sizes{3, 7, 5, 4}}) {
    Array dy = normal(random, {b * t, n}), x = normal(random, {b * t, k}), embedded = normal(random, {b * t, k});
    Array tokens = integers(random, {b * t}, 0, static_cast<std::int32_t>(n));
    Array linear = zeros({b}), biased = zeros({b}), table = zeros({b}), tied = zeros({b});
    ref->linear_grad_squares(dy.view(), x.view(), Bias::kNone, linear.view());
    ref->linear_grad_squares(dy.view(), x.view(), Bias::kCounts, biased.view());
    ref->embedding_grad_squares(tokens.view(), embedded.view(), table.view());
    for (Array* sum : {&tied}) {  // the two apart, and what they have together
      ref->linear_grad_squares(dy.view(), x.view(), Bias::kNone, sum->view());
      ref->embedding_grad_squares(tokens.view(), embedded.view(), sum->view());
      ref->tied_grad_squares(dy.view(), x.view(), tokens.view(), embedded.view(), sum->view());
    }
    for (std::int64_t i = 0; i < b; ++i) {
      const auto at = static_cast<std::size_t>(i);
      Array dw = zeros({n, k}), db = zeros({n}), dtable = zeros({n, k}), both = zeros({n, k});
      const auto own = [&](Array& array) { return part_of(array.view(), i, b); };
      ref->linear_grad_weight(own(dy), own(x), dw.view(), db.view());
      ref->embedding_grad(own(tokens), own(embedded), dtable.view());
      ref->add(dw.view(), dtable.view(), both.view());
      CHECK(double{linear.floats[at]} == doctest::Approx(square_of(dw.view().floats())).epsilon(1e-5));
      CHECK(double{biased.floats[at]} ==
            doctest::Approx(square_of(dw.view().floats()) + square_of(db.view().floats())).epsilon(1e-5));
      CHECK(double{table.floats[at]} == doctest::Approx(square_of(dtable.view().floats())).epsilon(1e-5));
      CHECK(double{tied.floats[at]} == doctest::Approx(square_of(both.view().floats())).epsilon(1e-5));
    }
  }
}

}  // namespace
}  // namespace covey::test
