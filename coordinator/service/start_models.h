// Models that jobs may start from: folders of transformers below one folder of the coordinator's, put there by
// `covey import`.
#pragma once
#include <string>

#include "coordinator/work.h"

namespace covey {

inline constexpr const char* kStartModelsFolder = "models";  // of the coordinator's folder

// Reads `models`/<job.start>. Errors: kNotFound naming the models that are there; those of HfFolder::open and
// check_same_model, naming the start.
Result<ParameterReader> open_start(const std::string& models, const JobSpec& job);

}  // namespace covey
