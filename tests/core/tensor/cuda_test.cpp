// The CUDA kernels against `ref`; skipped, with the reason, where there is no device.
#include "core/tensor/cuda/cuda_ops.h"

#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

bool skipped() {
  std::string why_not;
  if (cuda::cuda_available(&why_not)) return false;
  CHECK(!why_not.empty());
  MESSAGE("skipped: ", why_not);
  return true;
}

std::span<float> floats_of(Array& array) { return array.view().floats(); }

void check_close(const Array& got, const Array& expected) {
  CHECK(got.guards_hold());
  CHECK(relative_difference(got, expected) <= 1e-5);
}

TEST_CASE("cuda: without a device every operation refuses with the reason") {
  std::string why_not;
  if (cuda::cuda_available(&why_not)) return;
  Array a = constant({4}, 1.0F);
  const Result<void> refused = cuda::scale(floats_of(a), 2.0F);
  REQUIRE(!refused.has_value());
  CHECK(refused.error().message == why_not);
  CHECK(a.floats[0] == 1.0F);
}

TEST_CASE("cuda: add, fill, scale and relu agree with ref") {
  if (skipped()) return;
  Random random(31);
  const std::unique_ptr<Ops> ref = make_ref_ops();
  for (const std::int64_t n : {1, 255, 256, 257, 100003}) {
    CAPTURE(n);
    Array a = normal(random, {n}), b = normal(random, {n}), y = zeros({n}), expected = y;
    REQUIRE(cuda::add(floats_of(a), floats_of(b), floats_of(y)).has_value());
    ref->add(a.view(), b.view(), expected.view());
    check_close(y, expected);
    REQUIRE(cuda::scale(floats_of(y), 0.3F).has_value());
    ref->scale(expected.view(), 0.3F);
    check_close(y, expected);
    REQUIRE(cuda::relu(floats_of(a), floats_of(y)).has_value());
    ref->relu(a.view(), expected.view());
    check_close(y, expected);
    REQUIRE(cuda::relu_grad(floats_of(y), floats_of(b), floats_of(a)).has_value());
    Array dx = zeros({n});
    ref->relu_grad(expected.view(), b.view(), dx.view());
    check_close(a, dx);
    REQUIRE(cuda::fill(floats_of(y), 1.5F).has_value());
    ref->fill(expected.view(), 1.5F);
    check_close(y, expected);
  }
}

TEST_CASE("cuda: the optimizers agree with ref") {
  if (skipped()) return;
  Random random(32);
  const std::unique_ptr<Ops> ref = make_ref_ops();
  for (const std::int64_t n : {1, 1000, 65537}) {
    CAPTURE(n);
    Array p = normal(random, {n}), g = normal(random, {n}), m = zeros({n}), v = zeros({n});
    Array p2 = p, m2 = m, v2 = v;
    for (std::int64_t step = 1; step <= 3; ++step) {
      const AdamWStep adamw{1e-2F, 0.9F, 0.95F, 1e-8F, 0.1F, step, 0.5F};
      REQUIRE(cuda::adamw(floats_of(p), floats_of(g), floats_of(m), floats_of(v), adamw)
                  .has_value());
      ref->adamw(p2.view(), g.view(), m2.view(), v2.view(), adamw);
    }
    check_close(p, p2);
    check_close(m, m2);
    check_close(v, v2);
    for (const float momentum : {0.0F, 0.9F}) {
      for (const bool first : {true, false}) {
        const SgdStep sgd{0.1F, momentum, 0.01F, first, !first, 0.5F};
        REQUIRE(cuda::sgd(floats_of(p), floats_of(g), floats_of(m), sgd).has_value());
        ref->sgd(p2.view(), g.view(), m2.view(), sgd);
      }
    }
    check_close(p, p2);
    check_close(m, m2);
  }
}

}  // namespace
}  // namespace covey::test
