#include "core/data/safetensors_layout.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/data/files.h"
#include "core/data/safetensors_header.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

// Elements of the entry, after checking that its offsets hold exactly those of its shape and lie
// within `data_bytes`.
Result<std::uint64_t> element_count(const TensorEntry& entry, std::size_t size, std::uint64_t data_bytes) {
  if (entry.begin > entry.end || entry.end > data_bytes)
    return invalid("tensor " + shown(entry.name) + " lies at bytes " + std::to_string(entry.begin) + " to " +
                   std::to_string(entry.end) + " of " + std::to_string(data_bytes));
  std::uint64_t count = 1;
  bool overflow = false;
  for (const std::uint64_t dim : entry.shape)
    overflow = __builtin_mul_overflow(count, dim, &count) || overflow;
  if (std::find(entry.shape.begin(), entry.shape.end(), 0u) != entry.shape.end()) {
    count = 0;
    overflow = false;
  }
  const std::uint64_t bytes = entry.end - entry.begin;
  if (overflow || bytes % size != 0 || bytes / size != count)
    return invalid("tensor " + shown(entry.name) + " has " + std::to_string(bytes) +
                   " bytes, which its shape and dtype do not give");
  return count;
}

// The tensors' bytes must be the data without gap or overlap.
Result<void> check_cover(const std::vector<TensorPlace>& tensors, std::uint64_t data_bytes) {
  std::vector<const TensorPlace*> order;
  for (const TensorPlace& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorPlace* a, const TensorPlace* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const TensorPlace* tensor : order) {
    if (tensor->begin != at)
      return invalid("tensor " + shown(tensor->name) + " begins at byte " + std::to_string(tensor->begin) +
                     (tensor->begin < at ? " and overlaps the one before it, which ends at "
                                         : " and leaves a gap after byte ") +
                     std::to_string(at));
    at = tensor->end;
  }
  if (at != data_bytes)
    return invalid("the tensors end at byte " + std::to_string(at) + ", but the data have " +
                   std::to_string(data_bytes) + " bytes");
  return {};
}

}  // namespace

Result<std::uint64_t> safetensors_header_bytes(ByteSpan first_8, std::uint64_t file_bytes) {
  if (file_bytes < 8 || first_8.size() < 8)
    return invalid("not a safetensors file: it has " + std::to_string(file_bytes) + " bytes");
  const std::uint64_t header_bytes = ByteReader(first_8).u64();
  const std::uint64_t possible = std::min(kSafetensorsHeaderMax, file_bytes - 8);
  if (header_bytes > possible)
    return invalid("not a safetensors file: its header is said to have " + std::to_string(header_bytes) +
                   " bytes, at most " + std::to_string(possible) + " are possible");
  return header_bytes;
}

Result<SafetensorsLayout> safetensors_layout(std::string_view json, std::uint64_t data_bytes) {
  if (!json.starts_with('{')) return invalid("not a safetensors file: its header does not start with {");
  // The JSON library takes a NUL for the end of its input.
  if (json.find('\0') != std::string_view::npos)
    return invalid("not a safetensors file: its header holds a NUL");
  COVEY_TRY(SafetensorsHeader header, read_safetensors_header(json));
  SafetensorsLayout layout;
  layout.metadata = std::move(header.metadata);
  for (TensorEntry& entry : header.tensors) {
    const FileDTypeInfo dtype = file_dtype_from(entry.dtype);
    if (dtype.bytes == 0)
      return invalid("tensor " + shown(entry.name) + " has the unknown dtype " + shown(entry.dtype) +
                     ": convert it to F32, F16 or BF16");
    COVEY_TRY(const std::uint64_t count, element_count(entry, dtype.bytes, data_bytes));
    layout.tensors.push_back({std::move(entry.name), std::move(entry.dtype), dtype.dtype,
                              std::move(entry.shape), count, entry.begin, entry.end});
  }
  COVEY_TRY_VOID(check_cover(layout.tensors, data_bytes));
  return layout;
}

Result<void> check_readable(const TensorPlace& place) {
  if (place.dtype != FileDType::kOther) return {};
  return invalid("tensor " + shown(place.name) + " has dtype " + shown(place.dtype_name) +
                 ", which is not read: convert it to F32, F16, BF16, I8, I32 or I64");
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (const std::uint64_t dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

}  // namespace covey
