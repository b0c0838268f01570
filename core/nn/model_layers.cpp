#include "core/nn/model_layers.h"

#include "core/nn/conv_block.h"
#include "core/nn/dense_layer.h"
#include "core/nn/separable_block.h"
#include "core/nn/token_layers.h"

namespace covey {
namespace {

constexpr std::uint64_t kPlacesPerBlock = 16;  // of coins of dropout: two of the block, and one for each adapter

Shape shape_of(const std::vector<std::uint32_t>& dims) {
  if (dims.size() == 1) return {dims[0]};
  if (dims.size() == 2) return {dims[0], dims[1]};
  COVEY_CHECK(dims.size() == 4);
  return {dims[0], dims[1], dims[2], dims[3]};
}

// Hands out a table's parameters in order, as views into the flat buffers; adapters by name.
class ParameterCursor {
 public:
  explicit ParameterCursor(const FlatBuffers& flat) : flat_(flat) {}

  Parameter next() {
    last_ = &flat_.table.parameters.at(next_++);
    return view(*last_);
  }
  // The adapter of the weight that next() gave last, if it has one.
  Adapter adapter(const LoraSpec& lora, std::uint64_t place) {
    const std::string layer = last_->name.substr(0, last_->name.rfind('.'));
    if (!lora.adapts(layer)) return {};
    const std::string name = "base_model.model." + layer;
    adapters_ += 2;
    return {view(named(name + ".lora_A.weight")), view(named(name + ".lora_B.weight")),
            static_cast<float>(lora.alpha / lora.rank), static_cast<float>(lora.dropout), place};
  }
  bool done() const { return next_ + adapters_ == flat_.table.parameters.size(); }

 private:
  const ParameterInfo& named(const std::string& name) const {
    for (const ParameterInfo& info : flat_.table.parameters)
      if (info.name == name) return info;
    COVEY_CHECK(false);
    return flat_.table.parameters.front();
  }

  Parameter view(const ParameterInfo& info) const {
    const auto at = [&](float* base, std::uint64_t offset) {
      return Tensor{base == nullptr ? nullptr : base + offset, shape_of(info.shape), DType::kF32, Device::kCpu};
    };
    const auto index = static_cast<std::size_t>(&info - flat_.table.parameters.data());
    for (const StoredWeight& stored : flat_.stored)
      if (stored.index == index) return {stored.value, {}, stored.scales};
    Parameter parameter{at(flat_.parameters, position_in(flat_.held, info.offset)), {}};
    for (const ParameterRange& range : flat_.trained)
      if (info.offset >= range.offset && info.offset < range.offset + range.size)
        parameter.gradient = at(flat_.gradients, position_in(flat_.trained, info.offset));
    return parameter;
  }

  FlatBuffers flat_;
  const ParameterInfo* last_ = nullptr;
  std::size_t next_ = 0, adapters_ = 0;
};

void add_dense(ModelLayers& model, ParameterCursor& next, Activation activation, bool first) {
  const Parameter weight = next.next();
  const Parameter bias = next.next();
  model.layers.push_back(std::make_unique<DenseLayer>(
      weight, bias, activation, first ? InputGradient::kSkip : InputGradient::kCompute));
}

void add_mlp(ModelLayers& model, const ModelSpec& spec, ParameterCursor& next) {
  const std::size_t hidden = spec.family == ModelFamily::kMlp ? spec.hidden.size() : 0;
  for (std::size_t i = 0; i < hidden; ++i) add_dense(model, next, Activation::kRelu, i == 0);
  add_dense(model, next, Activation::kNone, hidden == 0);
}

NormedConv normed_conv(ConvKind kind, ParameterCursor& next) {
  const Parameter weight = next.next(), bias = next.next(), gain = next.next(), norm_bias = next.next();
  return {kind, weight, bias, GroupNorm(gain, norm_bias)};
}

void add_separable(ModelLayers& model, ParameterCursor& next, Shape input, bool first) {
  std::vector<NormedConv> stages;
  if (!first) stages.push_back(normed_conv(ConvKind::kDepthwise, next));
  stages.push_back(normed_conv(ConvKind::kFull, next));
  model.layers.push_back(std::make_unique<SeparableBlock>(
      std::move(stages), input, first ? InputGradient::kSkip : InputGradient::kCompute));
}

void add_conv(ModelLayers& model, ParameterCursor& next, Shape input, bool first) {
  const Parameter weight = next.next();
  const Parameter bias = next.next();
  model.layers.push_back(std::make_unique<ConvBlock>(
      weight, bias, input[1], input[2], first ? InputGradient::kSkip : InputGradient::kCompute));
}

void add_cnn(ModelLayers& model, const ModelSpec& spec, ParameterCursor& next) {
  std::int64_t channels = spec.image_channels, height = spec.image_height, width = spec.image_width;
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i) {
    const Shape input{channels, height, width};
    (spec.blocks == CnnBlocks::kSeparable ? add_separable : add_conv)(model, next, input, i == 0);
    channels = spec.conv_channels[i];
    height /= 2;
    width /= 2;
  }
  add_dense(model, next, Activation::kRelu, false);
  if (spec.blocks == CnnBlocks::kCifar) add_dense(model, next, Activation::kRelu, false);
  add_dense(model, next, Activation::kNone, false);
}

Projection projection(const ModelSpec& spec, ParameterCursor& next, std::uint64_t place) {
  const Parameter weight = next.next();
  const Adapter adapter = next.adapter(spec.lora, place);
  return {weight, spec.style == TransformerStyle::kGpt2 ? next.next() : Parameter{}, adapter};
}

BlockParts llama_parts(const ModelSpec& spec, ParameterCursor& next, std::uint64_t place) {
  BlockParts p;
  p.attention_norm = NormPart(next.next(), {}, spec.norm_epsilon);
  for (Projection* part : {&p.query, &p.key, &p.value, &p.out}) *part = projection(spec, next, place++);
  p.ffn_norm = NormPart(next.next(), {}, spec.norm_epsilon);
  for (Projection* part : {&p.gate, &p.up, &p.down}) *part = projection(spec, next, place++);
  return p;
}

NormPart centred_norm(const ModelSpec& spec, ParameterCursor& next) {
  const Parameter gain = next.next();
  return {gain, next.next(), spec.norm_epsilon};
}

// Rows of one matrix are those of query, key and value, one below the other.
BlockParts gpt2_parts(const ModelSpec& spec, ParameterCursor& next, std::uint64_t place) {
  BlockParts p;
  p.attention_norm = centred_norm(spec, next);
  const Parameter weight = next.next();
  const Adapter adapter = next.adapter(spec.lora, place++);
  const Parameter bias = next.next();
  std::int64_t row = 0;
  for (Projection* part : {&p.query, &p.key, &p.value}) {
    Adapter rows = adapter;
    rows.b = adapter.b.rows(row, spec.width);
    *part = Projection(weight.rows(row, spec.width), bias.rows(row, spec.width), rows);
    row += spec.width;
  }
  p.out = projection(spec, next, place++);
  p.ffn_norm = centred_norm(spec, next);
  for (Projection* part : {&p.up, &p.down}) *part = projection(spec, next, place++);
  return p;
}

BlockShape block_shape(const ModelSpec& spec, std::uint64_t place) {
  return {.style = spec.style,
          .heads = spec.heads,
          .kv_heads = spec.kv_head_count(),
          .head_width = spec.width / spec.heads,
          .inner = spec.ffn_width(),
          .rope_theta = spec.rope_theta,
          .dropout = static_cast<float>(spec.dropout),
          .place = place};
}

void add_transformer(ModelLayers& model, const ModelSpec& spec, const ModelOptions& options, ParameterCursor& next) {
  const bool gpt2 = spec.style == TransformerStyle::kGpt2;
  const Parameter table = next.next();
  model.layers.push_back(std::make_unique<EmbeddingLayer>(table, gpt2 ? next.next() : Parameter{},
                                                          static_cast<float>(spec.dropout), 0));
  for (std::uint32_t i = 0; i < spec.layers; ++i) {
    const std::uint64_t place = (i + 1) * kPlacesPerBlock;
    const BlockParts parts = gpt2 ? gpt2_parts(spec, next, place + 2) : llama_parts(spec, next, place + 2);
    auto block = std::make_unique<TransformerBlock>(
        parts, block_shape(spec, place),
        options.checkpointing == Checkpointing::kBlock ? Kept::kAgain : Kept::kKeep);
    model.blocks.push_back(block.get());
    model.layers.push_back(std::move(block));
  }
  const NormPart norm = gpt2 ? centred_norm(spec, next) : NormPart(next.next(), {}, spec.norm_epsilon);
  model.head = std::make_unique<TokenHead>(norm, spec.tied_head ? table : next.next(),
                                           options.checkpointing == Checkpointing::kNone);
}

}  // namespace

ModelLayers model_layers(const ModelSpec& spec, const ModelOptions& options, const FlatBuffers& flat) {
  ModelLayers model;
  ParameterCursor next(flat);
  if (spec.family == ModelFamily::kTransformer) {
    add_transformer(model, spec, options, next);
  } else {
    if (spec.family == ModelFamily::kCnn)
      add_cnn(model, spec, next);
    else
      add_mlp(model, spec, next);
    model.head = std::make_unique<ClassHead>(spec.classes);
  }
  COVEY_CHECK(next.done());
  return model;
}

}  // namespace covey
