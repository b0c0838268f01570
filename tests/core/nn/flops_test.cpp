// Counted by hand from the shapes.
#include "core/nn/flops.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

ModelSpec gpt_6x256() {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  spec.style = TransformerStyle::kGpt2;
  spec.tied_head = true;
  spec.layers = 6, spec.width = 256, spec.heads = 8, spec.context = 256;
  return spec;
}

constexpr std::uint64_t kBlock = 3 * 256 * 256 + 256 * 256 + 2 * 256 * 1024;  // multiplications a token
constexpr std::uint64_t kHead = 256 * 256;
constexpr std::uint64_t kAttention = 2 * 256 * 256 * 257;  // forward, a block: 2 * 2 * 256 for each of T(T+1)/2 pairs

}  // namespace

TEST_CASE("flops: a multilayer perceptron 784-200-200-10") {
  ModelSpec spec;
  spec.family = ModelFamily::kMlp;
  spec.inputs = 784, spec.hidden = {200, 200}, spec.classes = 10;
  const std::uint64_t all = 784 * 200 + 200 * 200 + 200 * 10, behind_first = 200 * 200 + 200 * 10;
  CHECK(product_flops(spec, {}) == ProductFlops{2 * all, 2 * all + 2 * behind_first});
  CHECK(product_flops(spec, {}).step() == 879'200);
}

TEST_CASE("flops: GPT 6x256 has 6 a parameter of its matrices and token, and causal attention") {
  const ProductFlops flops = product_flops(gpt_6x256(), {});
  CHECK(flops.forward == 256 * 2 * (6 * kBlock + kHead) + 6 * kAttention);
  CHECK(flops.backward == 2 * flops.forward);
  CHECK(flops.step() == 7'954'759'680);
  ModelSpec untied = gpt_6x256();
  untied.tied_head = false;  // another table, the same products
  CHECK(product_flops(untied, {}) == flops);
}

TEST_CASE("flops: Llama's grouped queries and gate") {
  ModelSpec spec = gpt_6x256();
  spec.style = TransformerStyle::kLlama;
  spec.tied_head = false;
  spec.kv_heads = 2, spec.ffn = 512;
  const std::uint64_t block = 2 * 256 * 256 + 2 * 256 * 64 + 3 * 256 * 512;
  CHECK(product_flops(spec, {}).forward == 256 * 2 * (6 * block + kHead) + 6 * kAttention);
}

TEST_CASE("flops: no gradient below the first layer that is trained, nor of frozen weights") {
  const ProductFlops whole = product_flops(gpt_6x256(), {});
  const ProductFlops top = product_flops(gpt_6x256(), {"embedding", "layers.0", "layers.1"});
  CHECK(top.forward == whole.forward);
  // The head is the embedding: its input's gradient alone. Four blocks with both gradients.
  CHECK(top.backward == 256 * (4 * 4 * kBlock + 2 * kHead) + 4 * 2 * kAttention);
  const ProductFlops middle = product_flops(gpt_6x256(), {"layers.5"});
  CHECK(middle.backward == whole.backward - 256 * 2 * kBlock);
  ModelSpec untied = gpt_6x256();
  untied.tied_head = false;
  CHECK(product_flops(untied, {"embedding", "layers.*"}).backward == 256 * 4 * kHead);
}

TEST_CASE("flops: adapters add theirs, and their base has no weight gradients") {
  ModelSpec spec = gpt_6x256();
  spec.lora = {4, 8, 0, {"*c_fc"}};
  const std::uint64_t adapter = 4 * 256 + 1024 * 4;
  const ProductFlops flops = product_flops(spec, {});
  CHECK(flops.forward == 256 * 2 * (6 * (kBlock + adapter) + kHead) + 6 * kAttention);
  CHECK(flops.backward == 256 * 2 * (6 * (kBlock + 2 * adapter) + kHead) + 6 * 2 * kAttention);
}

TEST_CASE("flops: convolutions by the plane that they write") {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.classes = 10;
  const std::uint64_t first = 28 * 28 * 32 * 25, second = 14 * 14 * 64 * 32 * 25, dense = 7 * 7 * 64 * 512 + 512 * 10;
  CHECK(product_flops(spec, {}) == ProductFlops{2 * (first + second + dense), 2 * first + 4 * (second + dense)});
  spec.blocks = CnnBlocks::kSeparable;
  const std::uint64_t depthwise = 14 * 14 * 32 * 25, pointwise = 14 * 14 * 64 * 32;
  CHECK(product_flops(spec, {}).forward == 2 * (first + depthwise + pointwise + dense));
  spec.conv_channels = {32, 64, 128};
  spec.image_height = spec.image_width = 32;
  const std::uint64_t third = 8 * 8 * 64 * 25 + 8 * 8 * 128 * 64, end = 4 * 4 * 128 * 512 + 512 * 10;
  CHECK(product_flops(spec, {}).forward ==
        2 * (32 * 32 * 32 * 25 + 16 * 16 * 32 * 25 + 16 * 16 * 64 * 32 + third + end));
}
