#include "core/data/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"
#include "core/data/safetensors_layout.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

Result<void> copy_parameter(const NamedTensor& tensor, const ParameterInfo& info, std::vector<float>& flat) {
  if (!std::equal(tensor.shape.begin(), tensor.shape.end(), info.shape.begin(), info.shape.end()))
    return invalid("tensor " + shown(info.name) + " has shape " + shape_text(tensor.shape) +
                   ", the model's is " + shape_text({info.shape.begin(), info.shape.end()}));
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
  COVEY_TRY(const std::uint64_t header_bytes, safetensors_header_bytes(file, file.size()));
  const ByteSpan data = file.subspan(8 + header_bytes);
  COVEY_TRY(SafetensorsLayout layout, safetensors_layout(text_of(file.subspan(8, header_bytes)), data.size()));
  SafetensorsFile result;
  result.metadata = std::move(layout.metadata);
  for (TensorPlace& place : layout.tensors) {
    COVEY_TRY_VOID(check_readable(place));
    std::vector<float> values(place.elements);
    widen(data.subspan(place.begin, place.end - place.begin), place.dtype, values);
    result.tensors.push_back({std::move(place.name), std::move(place.shape), std::move(values)});
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
