// The JSON header of a safetensors file, read without building a tree: only the format's own shape
// is accepted, so that a hostile header cannot nest, repeat names or make us allocate much.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

struct TensorEntry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  // bytes after the header
};
struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the header's order
  std::map<std::string, std::string> metadata;
};

// Errors: kInvalidData (not JSON, another structure, a repeated name or field, a missing field).
// Offsets and shapes are not compared with anything yet.
Result<SafetensorsHeader> read_safetensors_header(std::string_view json);

}  // namespace covey
