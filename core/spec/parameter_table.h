// Names, shapes and offsets of a model's parameters in its one flat buffer, and the shards that
// are ranges of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/spec/model_spec.h"

namespace covey {

struct ParameterInfo {
  std::string name;                  // as in safetensors, e.g. "model.layers.0.self_attn.q_proj.weight"
  std::vector<std::uint32_t> shape;  // row-major; linear weights are [out, in] as in PyTorch
  std::uint64_t offset = 0;          // elements from the start of the flat buffer
  std::uint64_t size = 0;            // elements
  std::uint32_t shard = 0;           // index into ParameterTable::shards
  bool operator==(const ParameterInfo&) const = default;
};

// A contiguous range of the flat buffer that is sent, trained and aggregated as a unit.
struct ShardRange {
  std::string name;          // "embedding", "layers.0", "head", "adapters.0", or "model" for small families
  std::uint64_t offset = 0;  // elements
  std::uint64_t size = 0;    // elements
  bool operator==(const ShardRange&) const = default;
};

struct ParameterTable {
  std::vector<ParameterInfo> parameters;  // ordered by offset, dense, no gaps
  std::vector<ShardRange> shards;         // ordered, covering everything
  std::uint64_t size = 0;                 // elements in all
  bool operator==(const ParameterTable&) const = default;
};

// The table of a valid spec. The layout is part of the format: same spec, same table, everywhere.
ParameterTable parameter_table(const ModelSpec& spec);

// Names of the linear layers that [model.lora] may adapt, in order; the model need not be valid but in
// [model.lora].
std::vector<std::string> adaptable_layers(const ModelSpec& spec);

// A range of the flat buffer.
struct ParameterRange {
  std::uint64_t offset = 0;  // elements
  std::uint64_t size = 0;
  bool operator==(const ParameterRange&) const = default;
};
// What training changes: all, or with [model.lora] its adapters, without the shards that one of `frozen`
// names ('*' at either end stands for anything). In order, apart from one another, not empty.
std::vector<ParameterRange> trained_ranges(const ModelSpec& spec, const std::vector<std::string>& frozen);
std::uint64_t size_of(const std::vector<ParameterRange>& ranges);  // elements in all
// Elements of `ranges` in front of the one at `offset`, which is in one of them.
std::uint64_t position_in(const std::vector<ParameterRange>& ranges, std::uint64_t offset);

// Weights of linear layers in a transformer's blocks that training leaves as they are, as indices into the
// table: what may be held in fewer bits (TrainSpec::frozen_storage).
std::vector<std::size_t> frozen_weights(const ModelSpec& spec, const std::vector<std::string>& frozen);

}  // namespace covey
