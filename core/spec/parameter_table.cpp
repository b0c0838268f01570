#include "core/spec/parameter_table.h"

#include <utility>

#include "core/base/check.h"

namespace covey {
namespace {

class TableBuilder {
 public:
  void shard(std::string name) { table_.shards.push_back({std::move(name), table_.size, 0}); }

  void add(std::string name, std::vector<std::uint32_t> shape) {
    COVEY_CHECK(!table_.shards.empty());
    std::uint64_t size = 1;
    for (const std::uint32_t dim : shape) size *= dim;
    const auto shard = static_cast<std::uint32_t>(table_.shards.size() - 1);
    table_.parameters.push_back({std::move(name), std::move(shape), table_.size, size, shard});
    table_.size += size;
    table_.shards.back().size += size;
  }

  void add_with_bias(const std::string& layer, std::vector<std::uint32_t> shape) {
    const std::uint32_t outputs = shape.front();
    add(layer + ".weight", std::move(shape));
    add(layer + ".bias", {outputs});
  }

  ParameterTable take() { return std::move(table_); }

 private:
  ParameterTable table_;
};

void add_mlp(TableBuilder& builder, const ModelSpec& spec) {
  builder.shard("model");
  std::uint32_t inputs = spec.inputs;
  for (std::size_t i = 0; i <= spec.hidden.size(); ++i) {
    const std::uint32_t outputs = i < spec.hidden.size() ? spec.hidden[i] : spec.classes;
    builder.add_with_bias("fc" + std::to_string(i + 1), {outputs, inputs});
    inputs = outputs;
  }
}

void add_cnn(TableBuilder& builder, const ModelSpec& spec) {
  builder.shard("model");
  std::uint32_t channels = spec.image_channels;
  std::uint32_t height = spec.image_height;
  std::uint32_t width = spec.image_width;
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i) {
    const std::uint32_t outputs = spec.conv_channels[i];
    builder.add_with_bias("conv" + std::to_string(i + 1),
                          {outputs, channels, spec.kernel, spec.kernel});
    channels = outputs;
    height /= 2;
    width /= 2;
  }
  // Checked before the sum of parameters is, so the product may be too large for 32 bits.
  const std::uint64_t flat = std::uint64_t{channels} * height * width;
  const auto inputs = static_cast<std::uint32_t>(flat < UINT32_MAX ? flat : UINT32_MAX);
  builder.add_with_bias("fc1", {spec.dense, inputs});
  builder.add_with_bias("fc2", {spec.classes, spec.dense});
}

// Names and order as in Hugging Face's LlamaForCausalLM, so that a checkpoint opens there.
void add_transformer(TableBuilder& builder, const ModelSpec& spec) {
  const std::uint32_t d = spec.width;
  const std::uint32_t f = spec.ffn_width();
  builder.shard("embedding");
  builder.add("model.embed_tokens.weight", {spec.vocabulary, d});
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    builder.shard("layers." + std::to_string(i));
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    builder.add(layer + "input_layernorm.weight", {d});
    builder.add(layer + "self_attn.q_proj.weight", {d, d});
    builder.add(layer + "self_attn.k_proj.weight", {d, d});
    builder.add(layer + "self_attn.v_proj.weight", {d, d});
    builder.add(layer + "self_attn.o_proj.weight", {d, d});
    builder.add(layer + "post_attention_layernorm.weight", {d});
    builder.add(layer + "mlp.gate_proj.weight", {f, d});
    builder.add(layer + "mlp.up_proj.weight", {f, d});
    builder.add(layer + "mlp.down_proj.weight", {d, f});
  }
  builder.shard("head");
  builder.add("model.norm.weight", {d});
  builder.add("lm_head.weight", {spec.vocabulary, d});
}

}  // namespace

ParameterTable parameter_table(const ModelSpec& spec) {
  TableBuilder builder;
  switch (spec.family) {
    case ModelFamily::kLogistic:
      builder.shard("model");
      builder.add_with_bias("linear", {spec.classes, spec.inputs});
      break;
    case ModelFamily::kMlp: add_mlp(builder, spec); break;
    case ModelFamily::kCnn: add_cnn(builder, spec); break;
    case ModelFamily::kTransformer: add_transformer(builder, spec); break;
  }
  return builder.take();
}

}  // namespace covey
