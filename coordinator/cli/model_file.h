// A model as `covey pull` left it: safetensors, and the job that says what it is.
#pragma once
#include <string>
#include <vector>

#include "core/protocol/job_spec.h"

namespace covey::cli {

struct LoadedModel {
  JobSpec spec;
  std::vector<float> parameters;
};
// `where`: the folder, or its safetensors file. Errors name the path.
Result<LoadedModel> load_model(const std::string& where);

}  // namespace covey::cli
