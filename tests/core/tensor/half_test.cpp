// The 16-bit formats: every value there is, and the kernels' conversions against the scalar ones.
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

TEST_CASE("half: every bf16 and f16 survives a round trip") {
  for (std::uint32_t bits = 0; bits < 65'536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float b = to_float(Bf16{half}), f = to_float(F16{half});
    if (std::isnan(b)) CHECK(std::isnan(to_float(from_float<Bf16>(b))));
    else CHECK(from_float<Bf16>(b).bits == half);
    if (std::isnan(f)) CHECK(std::isnan(to_float(from_float<F16>(f))));
    else CHECK(from_float<F16>(f).bits == half);
  }
}

TEST_CASE("half: known values") {
  CHECK(from_float<F16>(1.0F).bits == 0x3C00);
  CHECK(from_float<F16>(-2.0F).bits == 0xC000);
  CHECK(from_float<F16>(65504.0F).bits == 0x7BFF);
  CHECK(from_float<F16>(65519.9F).bits == 0x7BFF);
  CHECK(from_float<F16>(65520.0F).bits == 0x7C00);          // to infinity
  CHECK(from_float<F16>(5.9604645e-8F).bits == 0x0001);     // the smallest
  CHECK(from_float<F16>(2.9802322e-8F).bits == 0x0000);     // half of it: to even
  CHECK(from_float<F16>(1.0F + 0x1p-11F).bits == 0x3C00);   // half way: to even
  CHECK(from_float<F16>(1.0F + 3 * 0x1p-11F).bits == 0x3C02);
  CHECK(from_float<Bf16>(1.0F + 0x1p-8F).bits == 0x3F80);   // half way: to even
  CHECK(from_float<Bf16>(1.0F + 3 * 0x1p-8F).bits == 0x3F82);
  CHECK(from_float<Bf16>(3.4e38F).bits == 0x7F80);          // rounds to infinity
}

TEST_CASE("half: the kernels convert as the scalar functions do") {
  Random random(31);
  Array x = normal(random, {4099}, 1.0);
  for (std::size_t i = 0; i < x.size(); ++i)  // from far below the smallest f16 to far above the largest
    x.floats[i] *= std::exp2(static_cast<float>(static_cast<int>(i % 64) - 40));
  x.floats[1] = std::numeric_limits<float>::infinity(), x.floats[2] = -x.floats[1];
  x.floats[4] = 1.0F + 0x1p-11F, x.floats[5] = 65520.0F, x.floats[6] = -0.0F;
  const cpu::UsableKernels usable = cpu::usable_kernels();
  for (int set = 0; set < usable.count; ++set) {
    CAPTURE(usable.sets[set]->name);
    std::vector<Bf16> b(x.size());
    std::vector<F16> f(x.size());
    const auto n = static_cast<std::int64_t>(x.size());
    usable.sets[set]->bf16.from_f32(x.floats.data(), b.data(), n);
    usable.sets[set]->f16.from_f32(x.floats.data(), f.data(), n);
    std::vector<float> wide(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(x.floats[i]);
      CHECK(b[i].bits == from_float<Bf16>(x.floats[i]).bits);
      CHECK(f[i].bits == from_float<F16>(x.floats[i]).bits);
    }
    usable.sets[set]->f16.to_f32(f.data(), wide.data(), n);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(wide[i] == to_float(f[i]));
    usable.sets[set]->bf16.to_f32(b.data(), wide.data(), n);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(wide[i] == to_float(b[i]));
  }
}

}  // namespace
}  // namespace covey::test
