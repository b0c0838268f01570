// Styles of transformers, kinds of CNN, adapters, frozen shards: what of them is possible, and their tables.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/spec/parameter_table.h"

using namespace covey;

namespace {

ModelSpec transformer(TransformerStyle style) {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  spec.style = style;
  spec.layers = 2;
  return spec;
}

std::string fault(const ModelSpec& spec) {
  const auto valid = spec.validate();
  return valid ? "" : valid.error().message;
}

std::vector<std::string> names(const ModelSpec& spec) {
  std::vector<std::string> all;
  for (const ParameterInfo& info : parameter_table(spec).parameters) all.push_back(info.name);
  return all;
}

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

TEST_CASE("families: GPT-2 124M has the paper's 124,439,808 parameters") {
  ModelSpec spec = transformer(TransformerStyle::kGpt2);
  spec.vocabulary = 50'257;
  spec.layers = 12;
  spec.width = 768;
  spec.heads = 12;
  spec.context = 1024;
  spec.tied_head = true;
  CHECK(fault(spec) == "");
  CHECK(parameter_table(spec).size == 124'439'808);
  CHECK(has(names(spec), "transformer.h.11.attn.c_attn.bias"));
  CHECK(!has(names(spec), "lm_head.weight"));
  spec.tied_head = false;
  CHECK(names(spec).back() == "lm_head.weight");
}

TEST_CASE("families: grouped queries shrink keys and values; impossible ones are refused") {
  ModelSpec spec = transformer(TransformerStyle::kLlama);
  spec.kv_heads = 2;
  CHECK(fault(spec) == "");
  CHECK(parameter_table(spec).parameters[3].shape == std::vector<std::uint32_t>{64, 128});
  spec.kv_heads = 3;
  CHECK(fault(spec) == "model.kv_heads = 3: must divide model.heads = 4; try 4");
  spec.kv_heads = 5;
  CHECK(fault(spec).find("model.kv_heads = 5: must lie in [0, 4]") == 0);
  spec = transformer(TransformerStyle::kGpt2);
  spec.kv_heads = 2;
  CHECK(fault(spec).find("model.kv_heads = 2: belongs to") == 0);
  spec = transformer(TransformerStyle::kGpt2);
  spec.rope_theta = 5e5;
  CHECK(fault(spec).find("model.rope_theta = 5e+05: belongs to") == 0);
  spec = transformer(TransformerStyle::kLlama);
  spec.dropout = 1;
  CHECK(fault(spec).find("model.dropout = 1: must lie in") == 0);
  spec = transformer(static_cast<TransformerStyle>(7));
  CHECK(fault(spec) == "model.style = 7: is not a known style");
}

TEST_CASE("families: the CIFAR CNN has a second hidden layer, separable blocks want groups of channels") {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.blocks = CnnBlocks::kCifar;
  spec.image_height = spec.image_width = 32;
  spec.image_channels = 3;
  spec.conv_channels = {64, 64};
  spec.dense = 384;
  spec.classes = 10;
  CHECK(fault(spec) == "");
  CHECK(parameter_table(spec).size == 4864 + 102'464 + 1'573'248 + 73'920 + 1930);
  spec.blocks = CnnBlocks::kSeparable;
  CHECK(fault(spec) == "");
  CHECK(has(names(spec), "conv2.depthwise.weight"));
  CHECK(has(names(spec), "norm2.pointwise.bias"));
  spec.conv_channels = {64, 12};
  CHECK(fault(spec).find("model.conv_channels[1] = 12: must be a multiple of 8") == 0);
  spec.blocks = static_cast<CnnBlocks>(9);
  CHECK(fault(spec) == "model.blocks = 9: is not a known kind");
}

TEST_CASE("families: adapters are shards of their own behind the base, which keeps its places") {
  const ModelSpec plain = transformer(TransformerStyle::kLlama);
  ModelSpec spec = plain;
  spec.lora = {4, 8, 0, {"*q_proj", "model.layers.1.mlp.*"}};
  CHECK(fault(spec) == "");
  const ParameterTable base = parameter_table(plain), table = parameter_table(spec);
  CHECK(std::equal(base.parameters.begin(), base.parameters.end(), table.parameters.begin()));
  REQUIRE(table.shards.size() == base.shards.size() + 2);
  CHECK(table.shards[4].name == "adapters.0");
  CHECK(table.shards[4].size == 4 * (128 + 128));
  CHECK(table.parameters.back().name == "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
  CHECK(trained_ranges(spec, {}) == std::vector<ParameterRange>{{base.size, table.size - base.size}});
  CHECK(trained_ranges(spec, {"adapters.1"}) == std::vector<ParameterRange>{{base.size, table.shards[4].size}});
}

TEST_CASE("families: adapters that fit no layer or no family are refused") {
  ModelSpec spec = transformer(TransformerStyle::kGpt2);
  spec.lora = {4, 8, 0, {"*q_proj"}};
  CHECK(fault(spec).find("model.lora.targets = \"*q_proj\": names no linear layer of this model; try \"*c_attn\"") == 0);
  spec.lora.targets = {};
  CHECK(fault(spec).find("size of model.lora.targets = 0") == 0);
  spec.lora = {0, 8, 0, {}};
  CHECK(fault(spec).find("model.lora.rank = 0: other settings") == 0);
  ModelSpec mlp;
  mlp.family = ModelFamily::kMlp;
  mlp.inputs = 4;
  mlp.hidden = {4};
  mlp.lora = {1, 8, 0, {"*"}};
  CHECK(fault(mlp).find("model.lora.rank = 1: adapters belong to") == 0);
}

TEST_CASE("families: frozen shards leave the ranges that are trained") {
  const ModelSpec spec = transformer(TransformerStyle::kLlama);
  const ParameterTable table = parameter_table(spec);
  CHECK(trained_ranges(spec, {}) == std::vector<ParameterRange>{{0, table.size}});
  CHECK(trained_ranges(spec, {"layers.*"}) ==
        std::vector<ParameterRange>{{0, table.shards[0].size}, {table.shards[3].offset, table.shards[3].size}});
  CHECK(trained_ranges(spec, {"*"}).empty());
  CHECK(size_of(trained_ranges(spec, {"embedding"})) == table.size - table.shards[0].size);
}

TEST_CASE("families: a star stands for anything at either end of a pattern") {
  CHECK(matches_pattern("abc", "abc"));
  CHECK(!matches_pattern("abc", "ab"));
  CHECK(matches_pattern("abc", "ab*"));
  CHECK(matches_pattern("abc", "*bc"));
  CHECK(matches_pattern("abc", "*b*"));
  CHECK(matches_pattern("abc", "*"));
  CHECK(!matches_pattern("abc", "*d*"));
  CHECK(!matches_pattern("abc", ""));
}
