// Tiny specs and minibatches for the tests of models.
#pragma once
#include <memory>
#include <vector>

#include "core/nn/model.h"

namespace covey::testing {

inline ModelSpec tiny_logistic() {
  ModelSpec spec;
  spec.inputs = 7;
  spec.classes = 3;
  return spec;
}

inline ModelSpec tiny_mlp() {
  ModelSpec spec;
  spec.family = ModelFamily::kMlp;
  spec.inputs = 12;
  spec.hidden = {16, 8};
  spec.classes = 5;
  return spec;
}

inline ModelSpec tiny_cnn() {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.image_height = 8;
  spec.image_width = 12;
  spec.image_channels = 2;
  spec.conv_channels = {4, 6};
  spec.kernel = 3;
  spec.dense = 16;
  spec.classes = 5;
  return spec;
}

inline ModelSpec tiny_transformer() {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  spec.vocabulary = 32;
  spec.layers = 2;
  spec.width = 16;
  spec.heads = 2;
  spec.ffn = 32;
  spec.context = 8;
  return spec;
}

inline ModelSpec tiny_gpt2() {
  ModelSpec spec = tiny_transformer();
  spec.style = TransformerStyle::kGpt2;
  spec.tied_head = true;
  return spec;
}

inline ModelSpec tiny_separable() {
  ModelSpec spec = tiny_cnn();
  spec.blocks = CnnBlocks::kSeparable;
  spec.image_width = 8;
  spec.conv_channels = {8, 16};
  spec.dense = 8;
  return spec;
}

struct Ready {  // ops outlives model
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Model> model;
};

inline Ready ready(const ModelSpec& spec, std::int64_t batch, std::unique_ptr<Ops> ops) {
  auto model = Model::create(spec, batch, *ops);
  return {std::move(ops), std::move(model).value()};
}

class Examples {  // owns what its minibatch views
 public:
  Examples(const ModelSpec& spec, std::int64_t batch, std::int64_t length, Random random) {
    if (spec.family == ModelFamily::kTransformer) {
      for (std::int64_t i = 0; i < batch * length; ++i) {
        tokens_.push_back(static_cast<std::int32_t>(random.below(spec.vocabulary)));
        targets_.push_back(static_cast<std::int32_t>(random.below(spec.vocabulary)));
      }
      targets_[0] = -1;
      batch_ = {tensor_of(tokens_, {batch, length}), tensor_of(targets_, {batch, length})};
      return;
    }
    const bool image = spec.family == ModelFamily::kCnn;
    const std::int64_t features =
        image ? std::int64_t{spec.image_channels} * spec.image_height * spec.image_width
              : std::int64_t{spec.inputs};
    for (std::int64_t i = 0; i < batch * features; ++i)
      features_.push_back(static_cast<float>(random.normal()));
    for (std::int64_t i = 0; i < batch; ++i)
      targets_.push_back(static_cast<std::int32_t>(random.below(spec.classes)));
    batch_ = {tensor_of(features_, {batch, features}), tensor_of(targets_, {batch})};
    if (image)
      batch_.inputs = batch_.inputs.reshaped(
          {batch, spec.image_channels, spec.image_height, spec.image_width});
  }
  Examples(const Examples&) = delete;
  Examples& operator=(const Examples&) = delete;
  const Minibatch& batch() const { return batch_; }

 private:
  std::vector<std::int32_t> tokens_;
  std::vector<float> features_;
  std::vector<std::int32_t> targets_;
  Minibatch batch_;
};

// Larger than fresh ones, so that no gradient is lost in rounding.
inline void randomize(Model& model, std::uint64_t seed) {
  Random random(seed);
  for (float& value : model.parameters()) value = static_cast<float>(0.3 * random.normal());
}

}  // namespace covey::testing
