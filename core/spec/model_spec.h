// What a job says of its model: a plain value shared by the engine and the protocol.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

enum class ModelFamily : std::uint8_t { kLogistic, kMlp, kCnn, kTransformer };
const char* name_of(ModelFamily family);                       // "logistic", "mlp", "cnn", "transformer"
Result<ModelFamily> model_family_from(std::string_view name);  // error lists the known names

// What a transformer's blocks are made of. Both are decoders that normalise before each branch.
// llama (Touvron et al. 2023): RMSNorm, rotary positions, SwiGLU, no biases.
// gpt2 (Radford et al. 2019): LayerNorm, learned positions, GELU (by tanh), biases.
enum class TransformerStyle : std::uint8_t { kLlama, kGpt2 };
const char* name_of(TransformerStyle style);  // "llama", "gpt2"
Result<TransformerStyle> transformer_style_from(std::string_view name);

// fedavg: convolution, ReLU, pooling; one hidden dense layer. cifar: the same and a second hidden
// layer of half the width. separable: depth-wise separable convolutions with group norms (Hsieh et
// al. 2020: they suit uneven clients where batch norms do not), one hidden dense layer.
enum class CnnBlocks : std::uint8_t { kFedAvg, kCifar, kSeparable };
const char* name_of(CnnBlocks blocks);  // "fedavg", "cifar", "separable"
Result<CnnBlocks> cnn_blocks_from(std::string_view name);

// [model.lora] (Hu et al. 2021): linear layers W x become W x + alpha / rank * B A x, and only A and B
// are trained. transformer alone.
struct LoraSpec {
  std::uint32_t rank = 0;  // 0: no adapters
  double alpha = 16;
  double dropout = 0;      // of x on its way to A
  // Names of linear layers, as in the parameter's name in front of ".weight"; a '*' at either end stands
  // for anything: "*q_proj", "model.layers.0.*", "*".
  std::vector<std::string> targets;
  bool operator==(const LoraSpec&) const = default;
  bool adapts(std::string_view layer) const;  // whether a target names it
};

// Whether `name` is `pattern`, in which a '*' at either end stands for anything.
bool matches_pattern(std::string_view name, std::string_view pattern);

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

  // transformer
  std::uint32_t vocabulary = 256;
  std::uint32_t layers = 4;
  std::uint32_t width = 128;   // d
  std::uint32_t heads = 4;     // width / heads is the head dimension, even
  std::uint32_t ffn = 0;       // inner width; 0: llama 8/3 width rounded up to 32, gpt2 4 width
  std::uint32_t context = 128; // T, tokens

  TransformerStyle style = TransformerStyle::kLlama;
  std::uint32_t kv_heads = 0;  // llama: heads of keys and values, each for heads / kv_heads queries; 0: heads
  bool tied_head = false;      // the head is the embedding (job.toml: true where gpt2 does not say)
  double rope_theta = 10'000;  // llama: base of the rotary frequencies
  double norm_epsilon = 1e-5;  // transformer: added to the variance, or mean square, of a norm
  double dropout = 0;          // transformer: of embeddings and of what each branch adds; only in training
  CnnBlocks blocks = CnnBlocks::kFedAvg;
  LoraSpec lora;

  bool operator==(const ModelSpec&) const = default;
  std::uint32_t ffn_width() const;       // `ffn`, or what its 0 stands for
  std::uint32_t kv_head_count() const { return kv_heads != 0 ? kv_heads : heads; }
  std::uint32_t kv_width() const { return width / heads * kv_head_count(); }
  Result<void> validate() const;  // errors name the setting as in job.toml, e.g. "model.heads = 3"
};

}  // namespace covey
