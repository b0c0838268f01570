// Where a safetensors file's tensors lie, checked: what both readers (whole files in memory, ranges of
// files on a disk) share.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/file_dtype.h"

namespace covey {

inline constexpr std::uint64_t kSafetensorsHeaderMax = 100'000'000;  // bytes, as in huggingface/safetensors

struct TensorPlace {
  std::string name;
  std::string dtype_name;               // as the file says it
  FileDType dtype = FileDType::kOther;  // kOther can not be read
  std::vector<std::uint64_t> shape;
  std::uint64_t elements = 0;
  std::uint64_t begin = 0, end = 0;  // bytes after the header
};
struct SafetensorsLayout {
  std::vector<TensorPlace> tensors;  // in the header's order
  std::map<std::string, std::string> metadata;
};

// How many bytes of JSON follow the first 8 bytes of a file of `file_bytes`.
// Errors: kInvalidData where the file cannot hold them.
Result<std::uint64_t> safetensors_header_bytes(ByteSpan first_8, std::uint64_t file_bytes);

// Every tensor's bytes are what its shape and dtype say, and together they are the `data_bytes` after
// the header, without gap or overlap. Errors: kInvalidData naming the tensor and the fault.
Result<SafetensorsLayout> safetensors_layout(std::string_view json, std::uint64_t data_bytes);

// Errors: kInvalidData for a tensor of a dtype that is not read.
Result<void> check_readable(const TensorPlace& place);

std::string shape_text(const std::vector<std::uint64_t>& shape);  // "[2, 3]"

}  // namespace covey
