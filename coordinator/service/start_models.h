// Models that jobs may start from: folders of transformers below one folder of the coordinator's, put there by
// `covey import`, each with the SHA-256 of its files (`sha256sum -c SHA256SUMS` reads them too).
#pragma once
#include <string>

#include "coordinator/work.h"
#include "core/base/log.h"

namespace covey {

inline constexpr const char* kStartModelsFolder = "models";  // of the coordinator's folder
inline constexpr const char* kStartSumsFile = "SHA256SUMS";  // of a model's folder

// Writes the sums of the files in `folder`, durably. Errors: those of reading and writing them.
Result<void> write_start_sums(const std::string& folder);

enum class StartSums {
  kMatch,
  kNone,  // imported by a version that wrote none
};
// Reads every file that the sums of `folder` name. Errors: kCorrupted naming the file that has other bytes or is not
// there, weights that the sums do not name, or sums that are none.
Result<StartSums> check_start_sums(const std::string& folder);

// Opens `models`/<job.start>, its sums checked; a model without sums is used, and `log` says so.
// Errors: kNotFound naming the models that are there; those of check_start_sums, HfFolder::open and
// check_same_model, naming the start.
Result<ParameterReader> open_start(const std::string& models, const JobSpec& job, Log& log);

}  // namespace covey
