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

// A frozen weight that is not among the flat parameters: [N,K] in bf16, or in i8 with scales [N]. Null to measure.
struct StoredWeight {
  std::size_t index;  // into the table
  Tensor value, scales;
};

// `parameters` and `gradients` are the flat buffers of `held` and `trained`, or null to measure.
struct FlatBuffers {
  const ParameterTable& table;
  const std::vector<ParameterRange>& held;
  const std::vector<ParameterRange>& trained;
  const std::vector<StoredWeight>& stored;
  float* parameters;
  float* gradients;
};
ModelLayers model_layers(const ModelSpec& spec, const ModelOptions& options, const FlatBuffers& flat);

}  // namespace covey
