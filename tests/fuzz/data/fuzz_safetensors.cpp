// A model file from anywhere.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/data/safetensors.h"
#include "core/spec/model_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const ParameterTable table = [] {
    ModelSpec spec;
    spec.family = ModelFamily::kLogistic;
    spec.inputs = 3;
    spec.classes = 2;
    return parameter_table(spec);
  }();
  const auto file = from_safetensors(ByteSpan(data, size));
  if (!file) {
    COVEY_CHECK(file.error().code == ErrorCode::kInvalidData);
    return 0;
  }
  for (const NamedTensor& tensor : file->tensors) {
    std::uint64_t elements = 1;
    for (const std::uint64_t length : tensor.shape) elements *= length;
    COVEY_CHECK(elements == tensor.values.size());
  }
  const auto parameters = parameters_from(*file, table);
  if (parameters) COVEY_CHECK(parameters->size() == table.size);
  return 0;
}
