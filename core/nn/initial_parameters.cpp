#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/nn/model.h"

namespace covey {
namespace {

bool ends_with(const std::string& name, std::string_view end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// GPT-2's recipe (Radford et al. 2019, section 2.3): normal with deviation 0.02, and what is added
// to the residual stream scaled down by the number of additions.
void fill_transformer(const ModelSpec& spec, const ParameterInfo& info, Random random,
                      std::span<float> values) {
  if (info.shape.size() == 1) {
    std::fill(values.begin(), values.end(), 1.0f);
    return;
  }
  const bool into_residual =
      ends_with(info.name, "o_proj.weight") || ends_with(info.name, "down_proj.weight");
  const double deviation = into_residual ? 0.02 / std::sqrt(2.0 * spec.layers) : 0.02;
  for (float& value : values) value = static_cast<float>(deviation * random.normal());
}

}  // namespace

std::vector<float> initial_parameters(const ModelSpec& spec, Random random) {
  const ParameterTable table = parameter_table(spec);
  std::vector<float> parameters(table.size);
  double bound = 0;
  for (std::size_t i = 0; i < table.parameters.size(); ++i) {
    const ParameterInfo& info = table.parameters[i];
    const std::span<float> values = std::span(parameters).subspan(info.offset, info.size);
    Random stream = random.split("initial_parameters", i);
    if (spec.family == ModelFamily::kTransformer) {
      fill_transformer(spec, info, stream, values);
      continue;
    }
    // As PyTorch: a bias takes the bound of the weight in front of it.
    if (info.shape.size() > 1)
      bound = 1 / std::sqrt(static_cast<double>(info.size / info.shape.front()));
    for (float& value : values) value = static_cast<float>(bound * (2 * stream.uniform() - 1));
  }
  return parameters;
}

}  // namespace covey
