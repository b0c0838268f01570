#include "core/spec/model_spec.h"

#include <doctest/doctest.h>

#include <string>

#include "core/spec/parameter_table.h"

using namespace covey;

namespace {

ModelSpec transformer() {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  return spec;
}
ModelSpec cnn() {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.classes = 10;
  return spec;
}
ModelSpec mlp() {
  ModelSpec spec;
  spec.family = ModelFamily::kMlp;
  spec.inputs = 784;
  spec.hidden = {200, 200};
  spec.classes = 10;
  return spec;
}

std::string fault(const ModelSpec& spec) {
  const auto valid = spec.validate();
  if (valid) return "";
  CHECK(valid.error().code == ErrorCode::kInvalidArgument);
  return valid.error().message;
}

bool covers_everything(const ParameterTable& table) {
  std::uint64_t offset = 0;
  for (const ParameterInfo& info : table.parameters) {
    std::uint64_t size = 1;
    for (const auto dim : info.shape) size *= dim;
    const ShardRange& shard = table.shards.at(info.shard);
    if (info.offset != offset || info.size != size || info.offset < shard.offset ||
        info.offset + info.size > shard.offset + shard.size)
      return false;
    offset += size;
  }
  std::uint64_t shard_end = 0;
  for (const ShardRange& shard : table.shards) {
    if (shard.offset != shard_end || shard.size == 0) return false;
    shard_end += shard.size;
  }
  return offset == table.size && shard_end == table.size;
}

}  // namespace

TEST_CASE("model spec: the defaults of every family are valid") {
  CHECK(fault(transformer()) == "");
  CHECK(fault(cnn()) == "");
  CHECK(fault(mlp()) == "");
  ModelSpec logistic;
  logistic.inputs = 5;
  CHECK(fault(logistic) == "");
}

TEST_CASE("model spec: errors name the setting, the bound and a remedy") {
  ModelSpec spec = transformer();
  spec.heads = 3;
  CHECK(fault(spec) == "model.heads = 3: must divide model.width = 128; try 4");
  spec.heads = 0;
  CHECK(fault(spec) == "model.heads = 0: must lie in [1, 64]; try 1");
  spec = transformer();
  spec.width = 132;
  spec.heads = 12;  // head dimension 11
  CHECK(fault(spec) ==
        "model.heads = 12: model.width / model.heads = 11 must be even, for rotary positions; try 11");
  spec = transformer();
  spec.width = 127;
  CHECK(fault(spec) == "model.width = 127: must be even, for rotary positions; try 128");
  spec = cnn();
  spec.kernel = 4;
  CHECK(fault(spec) == "model.kernel = 4: must be odd, for \"same\" padding; try 5");
  spec = cnn();
  spec.image_height = 30;
  CHECK(fault(spec).find("model.image_height = 30: must be a multiple of 4") == 0);
  CHECK(fault(spec).find("try 32") != std::string::npos);
  spec = mlp();
  spec.hidden = {};
  CHECK(fault(spec) == "size of model.hidden = 0: must lie in [1, 64]; try 1");
  spec = mlp();
  spec.inputs = 0;
  CHECK(fault(spec) == "model.inputs = 0: must lie in [1, 1048576]; try 1");
  spec.family = ModelFamily::kLogistic;
  spec.inputs = 4;
  CHECK(fault(spec).find("size of model.hidden = 2") == 0);
}

TEST_CASE("model spec: a suggested number of heads is itself valid") {
  for (std::uint32_t width = 2; width <= 96; width += 2)
    for (std::uint32_t heads = 1; heads <= width / 2; ++heads) {
      ModelSpec spec = transformer();
      spec.width = width;
      spec.heads = heads;
      const std::string message = fault(spec);
      if (message.empty()) continue;
      spec.heads = static_cast<std::uint32_t>(std::stoul(message.substr(message.rfind(' ') + 1)));
      CHECK(fault(spec) == "");
    }
}

TEST_CASE("model spec: the largest of every setting is refused, not overflowed") {
  ModelSpec spec = transformer();
  spec.vocabulary = 1 << 20;
  spec.width = 65'536;
  spec.layers = 256;
  spec.ffn = 4 * 65'536;
  CHECK(fault(spec).find("parameters of model = ") == 0);
  CHECK(fault(spec).find("2147483648") != std::string::npos);
  spec = cnn();
  spec.image_height = spec.image_width = 4096;
  spec.conv_channels = {8192};
  spec.dense = 65'536;
  CHECK(fault(spec).find("parameters of model = ") == 0);
  spec = mlp();
  spec.hidden.assign(64, 65'536);
  CHECK(fault(spec).find("parameters of model = ") == 0);
  spec.hidden.assign(1, 4'000'000'000u);
  CHECK(fault(spec).find("model.hidden[0] = 4000000000") == 0);
  spec = transformer();
  spec.family = static_cast<ModelFamily>(9);
  CHECK(fault(spec).find("model.family = 9") == 0);
}

TEST_CASE("model spec: families have names, both ways") {
  for (const auto family : {ModelFamily::kLogistic, ModelFamily::kMlp, ModelFamily::kCnn,
                            ModelFamily::kTransformer})
    CHECK(model_family_from(name_of(family)).value() == family);
  const auto unknown = model_family_from("cnnn\n");
  REQUIRE(!unknown);
  CHECK(unknown.error().message ==
        "model.family = \"cnnn?\": must be \"logistic\", \"mlp\", \"cnn\" or \"transformer\"");
}

TEST_CASE("parameter table: the FedAvg CNN has the paper's 1,663,370 parameters") {
  const ParameterTable table = parameter_table(cnn());
  CHECK(table.size == 1'663'370);
  CHECK(covers_everything(table));
  REQUIRE(table.parameters.size() == 8);
  CHECK(table.parameters[2].name == "conv2.weight");
  CHECK(table.parameters[2].shape == std::vector<std::uint32_t>{64, 32, 5, 5});
  CHECK(table.parameters[4].shape == std::vector<std::uint32_t>{512, 3136});
  REQUIRE(table.shards.size() == 1);
  CHECK(table.shards[0].name == "model");
}

TEST_CASE("parameter table: the MLP of McMahan et al. has 199,210 parameters") {
  const ParameterTable table = parameter_table(mlp());
  CHECK(table.size == 199'210);
  CHECK(covers_everything(table));
  CHECK(table.parameters.back().name == "fc3.bias");
}

TEST_CASE("parameter table: a transformer is sharded into embedding, layers and head") {
  const ModelSpec spec = transformer();
  CHECK(spec.ffn_width() == 352);  // 8/3 * 128 = 341.3
  const ParameterTable table = parameter_table(spec);
  CHECK(covers_everything(table));
  CHECK(table.size == 2 * 256 * 128 + 4 * (4 * 128 * 128 + 3 * 352 * 128 + 2 * 128) + 128);
  REQUIRE(table.shards.size() == 6);
  CHECK(table.shards[0].name == "embedding");
  CHECK(table.shards[1].name == "layers.0");
  CHECK(table.shards[5].name == "head");
  CHECK(table.parameters[1].name == "model.layers.0.input_layernorm.weight");
  CHECK(table.parameters[2].name == "model.layers.0.self_attn.q_proj.weight");
  CHECK(table.parameters[9].name == "model.layers.0.mlp.down_proj.weight");
  CHECK(table.parameters[9].shape == std::vector<std::uint32_t>{128, 352});
  CHECK(table.parameters.back().name == "lm_head.weight");
}
