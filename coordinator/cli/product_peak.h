// How fast this machine multiplies matrices at best, with the engine's own products.
#pragma once
#include "core/base/clock.h"
#include "core/tensor/ops.h"

namespace covey::cli {

struct ProductPeak {  // FLOP/s of the fastest product seen
  double f32 = 0, bf16 = 0;
};
// About half a second for each type; the better of `before` and what is measured now.
ProductPeak measure_products(Ops& ops, Clock& clock, ProductPeak before = {});

}  // namespace covey::cli
