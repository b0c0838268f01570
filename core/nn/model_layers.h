// The static list of layers of each family, over the flat buffers.
#pragma once
#include <memory>
#include <vector>

#include "core/nn/head.h"
#include "core/nn/model.h"
#include "core/nn/transformer_block.h"

namespace covey {

struct ModelLayers {
  std::vector<std::unique_ptr<Layer>> layers;
  std::unique_ptr<Head> head;
  std::vector<TransformerBlock*> blocks;  // of `layers`
};

// `parameters` and `gradients` are the flat buffers, or null to measure; the latter of `trained` alone.
struct FlatBuffers {
  const ParameterTable& table;
  const std::vector<ParameterRange>& trained;
  float* parameters;
  float* gradients;
};
ModelLayers model_layers(const ModelSpec& spec, const ModelOptions& options, const FlatBuffers& flat);

}  // namespace covey
