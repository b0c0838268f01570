// What a job says of its model: a plain value shared by the engine and the protocol.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

enum class ModelFamily : std::uint8_t { kLogistic, kMlp, kCnn, kTransformer };
const char* name_of(ModelFamily family);                       // "logistic", "mlp", "cnn", "transformer"
Result<ModelFamily> model_family_from(std::string_view name);  // error lists the known names

struct ModelSpec {
  ModelFamily family = ModelFamily::kLogistic;

  // logistic, mlp: flat features. An image is flattened.
  std::uint32_t inputs = 0;
  std::vector<std::uint32_t> hidden;  // mlp: widths of the hidden layers, ReLU between
  std::uint32_t classes = 2;          // logistic, mlp, cnn

  // cnn (McMahan et al. 2017, section 3): conv_channels.size() blocks of convolution with "same"
  // padding, ReLU and 2x2 max pooling, then a hidden layer of `dense` with ReLU, then `classes`.
  std::uint32_t image_height = 28, image_width = 28, image_channels = 1;
  std::vector<std::uint32_t> conv_channels{32, 64};
  std::uint32_t kernel = 5;
  std::uint32_t dense = 512;

  // transformer: decoder-only, pre-norm RMSNorm, rotary positions, SwiGLU (Llama style; Touvron et
  // al. 2023), head not tied to the embedding, no biases.
  std::uint32_t vocabulary = 256;
  std::uint32_t layers = 4;
  std::uint32_t width = 128;   // d
  std::uint32_t heads = 4;     // width / heads is the head dimension, even
  std::uint32_t ffn = 0;       // SwiGLU's inner width; 0: 8/3 width rounded up to 32
  std::uint32_t context = 128; // T, bytes

  bool operator==(const ModelSpec&) const = default;
  std::uint32_t ffn_width() const;  // `ffn`, or what its 0 stands for
  Result<void> validate() const;  // errors name the setting as in job.toml, e.g. "model.heads = 3"
};

}  // namespace covey
