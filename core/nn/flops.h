// Floating-point operations of a model's products, counted from the layers' shapes: 2 for each
// multiplication and addition. docs/engine.md says what counts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/spec/model_spec.h"

namespace covey {

struct ProductFlops {            // of one example; of a transformer: one of `context` tokens
  std::uint64_t forward = 0;
  std::uint64_t backward = 0;    // gradients of what is trained, and of inputs down to the first layer that is
  std::uint64_t step() const { return forward + backward; }
  bool operator==(const ProductFlops&) const = default;
};

// `spec` is valid; `frozen` as in TrainSpec.
ProductFlops product_flops(const ModelSpec& spec, const std::vector<std::string>& frozen);

}  // namespace covey
