// What the comments of ops.h promise, by numbers worked out by hand, for `ref` and `cpu` alike.
#include <limits>
#include <omp.h>

#include "core/tensor/arena.h"
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

std::vector<std::unique_ptr<Ops>> both() {
  std::vector<std::unique_ptr<Ops>> ops;
  ops.push_back(make_ref_ops());
  ops.push_back(make_cpu_ops());
  return ops;
}

Array of(Shape shape, std::initializer_list<float> values) {
  Array array = zeros(shape);
  std::copy(values.begin(), values.end(), array.floats.begin());
  return array;
}

TEST_CASE("relu is 0 at 0 and passes no gradient there, but passes NaN") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array x = of({4}, {-1, 0, 2, std::numeric_limits<float>::quiet_NaN()}), y = zeros({4});
    Array dy = of({4}, {5, 5, 5, 5}), dx = zeros({4});
    ops->relu(x.view(), y.view());
    ops->relu_grad(y.view(), dy.view(), dx.view());
    CHECK(y.floats[0] == 0);
    CHECK(y.floats[1] == 0);
    CHECK(y.floats[2] == 2);
    CHECK(std::isnan(y.floats[3]));
    CHECK(dx.floats[0] == 0);
    CHECK(dx.floats[1] == 0);
    CHECK(dx.floats[2] == 5);
  }
}

TEST_CASE("maxpool2 takes the first of equals and drops an odd row and column") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array x = of({1, 1, 3, 5}, {1, 1, 0, 3, 9,  //
                                1, 1, 3, 3, 9,  //
                                8, 8, 8, 8, 9});
    Random random(1);
    Array y = zeros({1, 1, 1, 2}), argmax = integers(random, {1, 1, 1, 2}, 0, 1);
    ops->maxpool2(x.view(), y.view(), argmax.view());
    CHECK(y.floats[0] == 1);
    CHECK(argmax.ints[0] == 0);
    CHECK(y.floats[1] == 3);
    CHECK(argmax.ints[1] == 3);  // row 0, column 3 comes before row 1, column 2
  }
}

TEST_CASE("cross entropy counts the first largest, and leaves rows without a target out") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array logits = of({4, 2}, {0, 0, 0, 0, 1, 2, 7, 7});
    Random random(1);
    Array targets = integers(random, {4}, 0, 1), losses = constant({4}, 9.0F);
    targets.ints[1] = 1;   // a tie, and the first wins
    targets.ints[2] = 1;
    targets.ints[3] = -1;
    Array dlogits = constant({4, 2}, 9.0F);
    CHECK(ops->softmax_cross_entropy(logits.view(), targets.view(), losses.view(), dlogits.view(),
                                     2.0F) == 2);
    CHECK(losses.floats[0] == doctest::Approx(std::log(2.0)));
    CHECK(losses.floats[2] == doctest::Approx(std::log1p(std::exp(-1.0))));
    CHECK(losses.floats[3] == 0);
    CHECK(dlogits.floats[0] == doctest::Approx(-1.0));
    CHECK(dlogits.floats[1] == doctest::Approx(1.0));
    CHECK(dlogits.floats[6] == 0);
    CHECK(dlogits.floats[7] == 0);
  }
}

TEST_CASE("a diverged model shows: NaN logits give a NaN loss") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array logits = of({1, 3}, {0, std::numeric_limits<float>::quiet_NaN(), 1}), losses = zeros({1});
    Random random(1);
    Array targets = integers(random, {1}, 0, 1), dlogits = zeros({1, 3});
    ops->softmax_cross_entropy(logits.view(), targets.view(), losses.view(), dlogits.view(), 1.0F);
    CHECK(std::isnan(losses.floats[0]));
    CHECK(std::isnan(dlogits.floats[0]));
  }
}

TEST_CASE("large logits do not overflow") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array logits = of({1, 2}, {3e4F, -3e4F}), losses = zeros({1}), dlogits = zeros({1, 2});
    Random random(1);
    Array targets = integers(random, {1}, 0, 1);
    targets.ints[0] = 1;
    ops->softmax_cross_entropy(logits.view(), targets.view(), losses.view(), dlogits.view(), 1.0F);
    CHECK(losses.floats[0] == doctest::Approx(6e4));
    CHECK(dlogits.floats[0] == doctest::Approx(1.0));
    CHECK(dlogits.floats[1] == doctest::Approx(-1.0));
  }
}

TEST_CASE("sgd follows PyTorch's momentum and decay") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array p = of({1}, {1.0F}), g = of({1}, {0.5F}), v = constant({1}, 100.0F);
    ops->sgd(p.view(), g.view(), v.view(), {0.1F, 0.9F, 0.2F, true});
    CHECK(v.floats[0] == doctest::Approx(0.7));   // 0.5 + 0.2 * 1; what was there is forgotten
    CHECK(p.floats[0] == doctest::Approx(0.93));
    ops->sgd(p.view(), g.view(), v.view(), {0.1F, 0.9F, 0.2F, false});
    CHECK(v.floats[0] == doctest::Approx(0.9 * 0.7 + 0.5 + 0.2 * 0.93));
    CHECK(p.floats[0] == doctest::Approx(0.93 - 0.1 * 1.316));
  }
}

TEST_CASE("adamw's first step moves by the learning rate, after decay") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Array p = of({2}, {1.0F, 1.0F}), g = of({2}, {3.0F, -0.01F}), m = zeros({2}), v = zeros({2});
    ops->adamw(p.view(), g.view(), m.view(), v.view(), {0.1F, 0.9F, 0.999F, 1e-8F, 0.5F, 1});
    CHECK(p.floats[0] == doctest::Approx(0.95 - 0.1));
    CHECK(p.floats[1] == doctest::Approx(0.95 + 0.1));
    CHECK(m.floats[0] == doctest::Approx(0.3));
    CHECK(v.floats[0] == doctest::Approx(0.009));
  }
}

TEST_CASE("rope keeps position 0 and lengths, and its gradient turns it back") {
  for (const auto& ops : both()) {
    CAPTURE(ops->name());
    Random random(3);
    const Array before = normal(random, {1, 6, 1, 8});
    Array x = before;
    ops->rope(x.view(), 1);
    for (std::size_t i = 0; i < 8; ++i) CHECK(x.floats[i] == before.floats[i]);
    CHECK(x.floats[8] == doctest::Approx(before.floats[8] * std::cos(1.0) -
                                         before.floats[12] * std::sin(1.0)));
    ops->rope(x.view(), -1);
    CHECK(relative_difference(x, before) < 1e-6);
  }
}

TEST_CASE("cpu results do not depend on the number of threads, nor change it") {
  Random random(4);
  const Array x = normal(random, {64, 16, 14, 14}), w = normal(random, {32, 16, 5, 5});
  const Array a = normal(random, {512, 300}), b = normal(random, {512, 200});
  const int before = omp_get_max_threads();
  std::vector<Arrays> results;
  for (const int threads : {1, 4}) {
    omp_set_num_threads(threads);
    Arrays arrays{x, w, zeros({64, 32, 14, 14}), zeros(w.shape), a, b, zeros({200, 300})};
    const Tensors t = views(arrays);
    const std::unique_ptr<Ops> ops = make_cpu_ops();
    ops->conv2d(t[0], t[1], {}, t[2], {5, 2});
    ops->conv2d_grad_weight(t[2], t[0], t[3], {}, {5, 2});
    ops->linear_grad_weight(t[5], t[4], t[6], {});
    CHECK(omp_get_max_threads() == threads);
    results.push_back(arrays);
  }
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < results[0].size(); ++i)
    CHECK(results[0][i].floats == results[1][i].floats);
}

TEST_CASE("arena: measuring and holding agree, memory is aligned, zeroed and disjoint") {
  const auto cut = [](Arena& arena) {
    return Tensors{arena.take({3, 5}), arena.take({1}, DType::kU8), arena.take({0}),
                   arena.take({2, 2, 2, 2}, DType::kI32)};
  };
  Arena measure;
  for (const Tensor& t : cut(measure)) CHECK(t.data == nullptr);
  CHECK(measure.used() == 64 + 64 + 64);
  Arena held(measure.used());
  const Tensors tensors = cut(held);
  CHECK(held.used() == measure.used());
  CHECK(held.capacity() >= held.used());
  for (const Tensor& t : tensors) CHECK(reinterpret_cast<std::uintptr_t>(t.data) % 64 == 0);
  for (const float value : tensors[0].floats()) CHECK(value == 0);
  CHECK(tensors[1].data == static_cast<std::byte*>(tensors[0].data) + 64);
  CHECK(tensors[3].dtype == DType::kI32);

  Arena moved = std::move(held);
  tensors[0].f32()[14] = 4.0F;  // the memory lives on
  CHECK(moved.used() == measure.used());
  CHECK(held.used() == 0);  // NOLINT: a moved-from arena measures
  Arena assigned(64);
  assigned = std::move(moved);
  CHECK(assigned.capacity() == measure.used());
}

TEST_CASE("names for messages") {
  CHECK(std::string(name_of(DType::kF32)) == "f32");
  CHECK(std::string(name_of(DType::kI32)) == "i32");
  CHECK(std::string(name_of(DType::kU8)) == "u8");
  CHECK(std::string(name_of(Device::kCuda)) == "cuda");
}

}  // namespace
}  // namespace covey::test
