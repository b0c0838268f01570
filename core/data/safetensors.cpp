#include "core/data/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"
#include "core/data/safetensors_header.h"

namespace covey {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are copied as they lie");

constexpr std::uint64_t kHeaderBytesMax = 100'000'000;  // as in huggingface/safetensors

enum class FileDType { kF32, kF16, kBF16 };

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

// IEEE 754 binary16 to binary32; exact.
float widened_f16(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

float widened_bf16(std::uint16_t half) { return std::bit_cast<float>(std::uint32_t{half} << 16); }

Result<FileDType> dtype_of(const TensorEntry& entry) {
  if (entry.dtype == "F32") return FileDType::kF32;
  if (entry.dtype == "F16") return FileDType::kF16;
  if (entry.dtype == "BF16") return FileDType::kBF16;
  return invalid("tensor " + shown(entry.name) + " has dtype " + shown(entry.dtype) +
                 ": convert it to F32, F16 or BF16");
}

// Elements of the entry, after checking that its offsets hold exactly those of its shape and lie
// within `data_bytes`.
Result<std::uint64_t> element_count(const TensorEntry& entry, FileDType dtype, std::uint64_t data_bytes) {
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
  const std::uint64_t size = dtype == FileDType::kF32 ? 4 : 2;
  const std::uint64_t bytes = entry.end - entry.begin;
  if (overflow || bytes % size != 0 || bytes / size != count)
    return invalid("tensor " + shown(entry.name) + " has " + std::to_string(bytes) +
                   " bytes, which its shape and dtype do not give");
  return count;
}

std::vector<float> widened(ByteSpan bytes, FileDType dtype, std::uint64_t count) {
  std::vector<float> values(count);
  if (dtype == FileDType::kF32) {
    if (count != 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto half = static_cast<std::uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
    values[i] = dtype == FileDType::kF16 ? widened_f16(half) : widened_bf16(half);
  }
  return values;
}

// The tensors' bytes must be the data without gap or overlap.
Result<void> check_layout(std::vector<TensorEntry> entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != at)
      return invalid("tensor " + shown(entry.name) + " begins at byte " + std::to_string(entry.begin) +
                     (entry.begin < at ? " and overlaps the one before it, which ends at "
                                       : " and leaves a gap after byte ") +
                     std::to_string(at));
    at = entry.end;
  }
  if (at != data_bytes)
    return invalid("the tensors end at byte " + std::to_string(at) + ", but the data have " +
                   std::to_string(data_bytes) + " bytes");
  return {};
}

std::string shape_text(const auto& shape) {
  std::string text = "[";
  for (const auto dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

Result<void> copy_parameter(const NamedTensor& tensor, const ParameterInfo& info, std::vector<float>& flat) {
  if (!std::equal(tensor.shape.begin(), tensor.shape.end(), info.shape.begin(), info.shape.end()))
    return invalid("tensor " + shown(info.name) + " has shape " + shape_text(tensor.shape) +
                   ", the model's is " + shape_text(info.shape));
  COVEY_CHECK(tensor.values.size() == info.size);
  for (const float value : tensor.values)
    if (!std::isfinite(value))
      return invalid("tensor " + shown(info.name) + " holds a NaN or an infinity: use another file");
  std::copy(tensor.values.begin(), tensor.values.end(),
            flat.begin() + static_cast<std::ptrdiff_t>(info.offset));
  return {};
}

}  // namespace

Bytes to_safetensors(const ParameterTable& table, std::span<const float> parameters,
                     const std::map<std::string, std::string>& metadata) {
  COVEY_CHECK(parameters.size() == table.size);
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (const ParameterInfo& info : table.parameters)
    header[info.name] = {{"dtype", "F32"},
                         {"shape", info.shape},
                         {"data_offsets", {info.offset * 4, (info.offset + info.size) * 4}}};
  // Text that is not UTF-8 could stop the export; it is replaced instead.
  std::string json = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  json.append((8 - json.size() % 8) % 8, ' ');

  ByteWriter writer;
  writer.u64(json.size()).raw(bytes_of(json));
  Bytes file = writer.take();
  const std::size_t data = file.size();
  file.resize(data + parameters.size_bytes());
  if (!parameters.empty()) std::memcpy(file.data() + data, parameters.data(), parameters.size_bytes());
  return file;
}

Result<SafetensorsFile> from_safetensors(ByteSpan file) {
  if (file.size() < 8)
    return invalid("not a safetensors file: it has " + std::to_string(file.size()) + " bytes");
  const std::uint64_t header_bytes = ByteReader(file).u64();
  const std::uint64_t rest = file.size() - 8;
  if (header_bytes > kHeaderBytesMax || header_bytes > rest)
    return invalid("not a safetensors file: its header is said to have " + std::to_string(header_bytes) +
                   " bytes, at most " + std::to_string(std::min(kHeaderBytesMax, rest)) + " are possible");
  const std::string_view json = text_of(file.subspan(8, header_bytes));
  if (!json.starts_with('{')) return invalid("not a safetensors file: its header does not start with {");
  // The JSON library takes a NUL for the end of its input.
  if (json.find('\0') != std::string_view::npos)
    return invalid("not a safetensors file: its header holds a NUL");
  COVEY_TRY(SafetensorsHeader header, read_safetensors_header(json));

  const ByteSpan data = file.subspan(8 + header_bytes);
  COVEY_TRY_VOID(check_layout(header.tensors, data.size()));
  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  for (TensorEntry& entry : header.tensors) {
    COVEY_TRY(const FileDType dtype, dtype_of(entry));
    COVEY_TRY(const std::uint64_t count, element_count(entry, dtype, data.size()));
    std::vector<float> values = widened(data.subspan(entry.begin, entry.end - entry.begin), dtype, count);
    result.tensors.push_back({std::move(entry.name), std::move(entry.shape), std::move(values)});
  }
  return result;
}

Result<std::vector<float>> parameters_from(const SafetensorsFile& file, const ParameterTable& table) {
  std::unordered_map<std::string_view, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : file.tensors) by_name.emplace(tensor.name, &tensor);
  std::vector<float> flat(table.size);
  for (const ParameterInfo& info : table.parameters) {
    const auto at = by_name.find(info.name);
    if (at == by_name.end())
      return invalid("tensor " + shown(info.name) + " of the model is missing from the file");
    COVEY_TRY_VOID(copy_parameter(*at->second, info, flat));
    by_name.erase(at);
  }
  if (!by_name.empty())
    return invalid("tensor " + shown(by_name.begin()->first) + " of the file is not in the model");
  return flat;
}

}  // namespace covey
