#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/nn/model.h"

namespace covey {
namespace {

bool ends_with(const std::string& name, std::string_view end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

bool is_gain(const ParameterInfo& info) { return info.shape.size() == 1 && ends_with(info.name, ".weight"); }

// GPT-2's recipe (Radford et al. 2019, section 2.3): normal with deviation 0.02, and what is added
// to the residual stream scaled down by the number of additions.
void fill_transformer(const ModelSpec& spec, const ParameterInfo& info, Random& random,
                      std::span<float> values) {
  if (info.shape.size() == 1 || ends_with(info.name, ".lora_B.weight")) {
    std::fill(values.begin(), values.end(), is_gain(info) ? 1.0f : 0.0f);
    return;
  }
  if (ends_with(info.name, ".lora_A.weight")) {  // as PEFT: a linear layer's own recipe
    const double bound = 1 / std::sqrt(static_cast<double>(info.shape[1]));
    for (float& value : values) value = static_cast<float>(bound * (2 * random.uniform() - 1));
    return;
  }
  const bool into_residual = ends_with(info.name, "o_proj.weight") || ends_with(info.name, "down_proj.weight") ||
                             ends_with(info.name, "c_proj.weight");
  const double deviation = into_residual ? 0.02 / std::sqrt(2.0 * spec.layers) : 0.02;
  for (float& value : values) value = static_cast<float>(deviation * random.normal());
}

}  // namespace

InitialParameters::InitialParameters(const ModelSpec& spec, Random random)
    : spec_(spec), table_(parameter_table(spec)), random_(std::move(random)), stream_(random_) {}

void InitialParameters::next(std::span<float> out) {
  while (!out.empty()) {
    COVEY_CHECK(index_ < table_.parameters.size());
    const ParameterInfo& info = table_.parameters[index_];
    if (done_ == 0) begin(info);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), info.size - done_));
    fill(info, out.first(count));
    out = out.subspan(count);
    done_ += count;
    if (done_ < info.size) return;
    ++index_;
    done_ = 0;
  }
}

void InitialParameters::skip() {
  COVEY_CHECK(index_ < table_.parameters.size() && done_ == 0);
  COVEY_CHECK(spec_.family == ModelFamily::kTransformer);  // elsewhere a bias takes its bound from what is in front
  ++index_;
}

void InitialParameters::begin(const ParameterInfo& info) {
  stream_ = random_.split("initial_parameters", index_);
  // As PyTorch: a bias takes the bound of the weight in front of it.
  if (info.shape.size() > 1) bound_ = 1 / std::sqrt(static_cast<double>(info.size / info.shape.front()));
}

void InitialParameters::fill(const ParameterInfo& info, std::span<float> values) {
  if (spec_.family == ModelFamily::kTransformer) return fill_transformer(spec_, info, stream_, values);
  if (info.name.starts_with("norm")) {  // of a separable CNN
    std::fill(values.begin(), values.end(), is_gain(info) ? 1.0f : 0.0f);
    return;
  }
  for (float& value : values) value = static_cast<float>(bound_ * (2 * stream_.uniform() - 1));
}

std::vector<float> initial_parameters(const ModelSpec& spec, Random random) {
  std::vector<float> parameters(static_cast<std::size_t>(parameter_table(spec).size));
  InitialParameters(spec, std::move(random)).next(parameters);
  return parameters;
}

}  // namespace covey
