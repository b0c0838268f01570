#include "core/spec/parameter_table.h"

#include <algorithm>
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

// The first block is an ordinary convolution and its norm; those after it are depth-wise, norm,
// point-wise, norm.
void add_convolution(TableBuilder& builder, const ModelSpec& spec, std::size_t i, std::uint32_t channels) {
  const std::uint32_t outputs = spec.conv_channels[i];
  const std::string layer = "conv" + std::to_string(i + 1);
  if (spec.blocks != CnnBlocks::kSeparable || i == 0) {
    builder.add_with_bias(layer, {outputs, channels, spec.kernel, spec.kernel});
    if (spec.blocks == CnnBlocks::kSeparable) builder.add_with_bias("norm1", {outputs});
    return;
  }
  builder.add_with_bias(layer + ".depthwise", {channels, 1, spec.kernel, spec.kernel});
  builder.add_with_bias("norm" + std::to_string(i + 1) + ".depthwise", {channels});
  builder.add_with_bias(layer + ".pointwise", {outputs, channels, 1, 1});
  builder.add_with_bias("norm" + std::to_string(i + 1) + ".pointwise", {outputs});
}

void add_cnn(TableBuilder& builder, const ModelSpec& spec) {
  builder.shard("model");
  std::uint32_t channels = spec.image_channels;
  std::uint32_t height = spec.image_height;
  std::uint32_t width = spec.image_width;
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i) {
    add_convolution(builder, spec, i, channels);
    channels = spec.conv_channels[i];
    height /= 2;
    width /= 2;
  }
  // Checked before the sum of parameters is, so the product may be too large for 32 bits.
  const std::uint64_t flat = std::uint64_t{channels} * height * width;
  const auto inputs = static_cast<std::uint32_t>(flat < UINT32_MAX ? flat : UINT32_MAX);
  builder.add_with_bias("fc1", {spec.dense, inputs});
  if (spec.blocks == CnnBlocks::kCifar) {
    builder.add_with_bias("fc2", {spec.dense / 2, spec.dense});
    builder.add_with_bias("fc3", {spec.classes, spec.dense / 2});
  } else {
    builder.add_with_bias("fc2", {spec.classes, spec.dense});
  }
}

// A linear layer of a transformer's block, with its name within the block.
struct BlockLinear {
  const char* name;
  std::uint32_t outputs, inputs;
};

std::vector<BlockLinear> block_linears(const ModelSpec& spec) {
  const std::uint32_t d = spec.width, f = spec.ffn_width();
  if (spec.style == TransformerStyle::kGpt2)
    return {{"attn.c_attn", 3 * d, d}, {"attn.c_proj", d, d}, {"mlp.c_fc", f, d}, {"mlp.c_proj", d, f}};
  const std::uint32_t kv = spec.kv_width();
  return {{"self_attn.q_proj", d, d}, {"self_attn.k_proj", kv, d}, {"self_attn.v_proj", kv, d},
          {"self_attn.o_proj", d, d}, {"mlp.gate_proj", f, d},     {"mlp.up_proj", f, d},
          {"mlp.down_proj", d, f}};
}

std::string block_name(const ModelSpec& spec, std::uint32_t layer) {
  const char* blocks = spec.style == TransformerStyle::kGpt2 ? "transformer.h." : "model.layers.";
  return blocks + std::to_string(layer) + ".";
}

// Names and order as in Hugging Face's LlamaForCausalLM, so that a checkpoint opens there.
void add_llama(TableBuilder& builder, const ModelSpec& spec) {
  const std::uint32_t d = spec.width;
  builder.shard("embedding");
  builder.add("model.embed_tokens.weight", {spec.vocabulary, d});
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    builder.shard("layers." + std::to_string(i));
    const std::string layer = block_name(spec, i);
    builder.add(layer + "input_layernorm.weight", {d});
    for (const BlockLinear& linear : block_linears(spec)) {
      if (std::string_view(linear.name) == "mlp.gate_proj") builder.add(layer + "post_attention_layernorm.weight", {d});
      builder.add(layer + linear.name + ".weight", {linear.outputs, linear.inputs});
    }
  }
  builder.shard("head");
  builder.add("model.norm.weight", {d});
  if (!spec.tied_head) builder.add("lm_head.weight", {spec.vocabulary, d});
}

// Names and order as in GPT2LMHeadModel. Matrices are [out, in] as everywhere here; its files hold them
// transposed (Conv1D).
void add_gpt2(TableBuilder& builder, const ModelSpec& spec) {
  const std::uint32_t d = spec.width;
  builder.shard("embedding");
  builder.add("transformer.wte.weight", {spec.vocabulary, d});
  builder.add("transformer.wpe.weight", {spec.context, d});
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    builder.shard("layers." + std::to_string(i));
    const std::string layer = block_name(spec, i);
    builder.add_with_bias(layer + "ln_1", {d});
    for (const BlockLinear& linear : block_linears(spec)) {
      if (std::string_view(linear.name) == "mlp.c_fc") builder.add_with_bias(layer + "ln_2", {d});
      builder.add_with_bias(layer + linear.name, {linear.outputs, linear.inputs});
    }
  }
  builder.shard("head");
  builder.add_with_bias("transformer.ln_f", {d});
  if (!spec.tied_head) builder.add("lm_head.weight", {spec.vocabulary, d});
}

// One shard of adapters for each block that has any, behind all of the base; names as PEFT's.
void add_adapters(TableBuilder& builder, const ModelSpec& spec) {
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    bool any = false;
    for (const BlockLinear& linear : block_linears(spec)) {
      const std::string layer = block_name(spec, i) + linear.name;
      if (!spec.lora.adapts(layer)) continue;
      if (!any) builder.shard("adapters." + std::to_string(i));
      any = true;
      builder.add("base_model.model." + layer + ".lora_A.weight", {spec.lora.rank, linear.inputs});
      builder.add("base_model.model." + layer + ".lora_B.weight", {linear.outputs, spec.lora.rank});
    }
  }
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
    case ModelFamily::kTransformer:
      if (spec.style == TransformerStyle::kGpt2)
        add_gpt2(builder, spec);
      else
        add_llama(builder, spec);
      add_adapters(builder, spec);
      break;
  }
  return builder.take();
}

std::vector<std::string> adaptable_layers(const ModelSpec& spec) {
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < spec.layers; ++i)
    for (const BlockLinear& linear : block_linears(spec)) names.push_back(block_name(spec, i) + linear.name);
  return names;
}

std::vector<ParameterRange> trained_ranges(const ModelSpec& spec, const std::vector<std::string>& frozen) {
  std::vector<ParameterRange> ranges;
  for (const ShardRange& shard : parameter_table(spec).shards) {
    const bool base = spec.lora.rank > 0 && !shard.name.starts_with("adapters.");
    const bool named = std::any_of(frozen.begin(), frozen.end(), [&](const std::string& pattern) {
      return matches_pattern(shard.name, pattern);
    });
    if (base || named || shard.size == 0) continue;
    if (!ranges.empty() && ranges.back().offset + ranges.back().size == shard.offset)
      ranges.back().size += shard.size;
    else
      ranges.push_back({shard.offset, shard.size});
  }
  return ranges;
}

std::vector<std::size_t> frozen_weights(const ModelSpec& spec, const std::vector<std::string>& frozen) {
  std::vector<std::size_t> found;
  const ParameterTable table = parameter_table(spec);
  const std::vector<ParameterRange> trained = trained_ranges(spec, frozen);
  for (std::size_t i = 0; i < table.parameters.size(); ++i) {
    const ParameterInfo& info = table.parameters[i];
    const bool moves = std::any_of(trained.begin(), trained.end(), [&](const ParameterRange& range) {
      return info.offset >= range.offset && info.offset < range.offset + range.size;
    });
    if (!moves && info.shape.size() == 2 && table.shards[info.shard].name.starts_with("layers.")) found.push_back(i);
  }
  return found;
}

std::uint64_t position_in(const std::vector<ParameterRange>& ranges, std::uint64_t offset) {
  std::uint64_t before = 0;
  for (const ParameterRange& range : ranges) {
    if (offset >= range.offset && offset < range.offset + range.size) return before + offset - range.offset;
    before += range.size;
  }
  COVEY_CHECK(!"an offset outside all ranges");
  return 0;
}

std::uint64_t size_of(const std::vector<ParameterRange>& ranges) {
  std::uint64_t size = 0;
  for (const ParameterRange& range : ranges) size += range.size;
  return size;
}

}  // namespace covey
