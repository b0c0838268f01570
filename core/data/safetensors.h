// safetensors in and out (huggingface/safetensors, format description): u64 little-endian header
// length, JSON header padded with spaces to 8 bytes, then the tensors, row-major.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/spec/parameter_table.h"

namespace covey {

// All of a model's tensors, f32, with metadata; opens in Python's `safetensors`.
Bytes to_safetensors(const ParameterTable& table, std::span<const float> parameters,
                     const std::map<std::string, std::string>& metadata);

struct NamedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;  // F32 as is; F16, BF16, I8, I32 and I64 widened (file_dtype.h)
};
struct SafetensorsFile {
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::string> metadata;
};
// Hostile input: header length, JSON, dtypes, offsets (no overlap, no gap, in range) are checked.
// Errors: kInvalidData naming the tensor and the fault.
Result<SafetensorsFile> from_safetensors(ByteSpan file);

// Arranges a file's tensors into the flat buffer of `table`; names and shapes must match exactly.
Result<std::vector<float>> parameters_from(const SafetensorsFile& file, const ParameterTable& table);

}  // namespace covey
