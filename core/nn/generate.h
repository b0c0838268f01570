// Text from a byte-level transformer, to look at what it has learned.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/random.h"
#include "core/nn/model.h"

namespace covey {

// `bytes` sampled bytes that continue `prompt` (not included; empty: a newline), each from the
// softmax of logits / temperature over the last spec.context bytes; temperature 0 takes the
// likeliest. `spec` is the model's own: a transformer of vocabulary 256.
std::string generate(Model& model, const ModelSpec& spec, std::string_view prompt,
                     std::size_t bytes, double temperature, Random random);

}  // namespace covey
