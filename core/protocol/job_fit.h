// Settings that the rest of a job makes meaningless.
#pragma once
#include "core/protocol/job_spec.h"

namespace covey {

// A setting that says something (it is not its default) and belongs to another family, optimizer, schedule or rule
// than the job's would be read and act on nothing: it was meant for something. So would a clip norm that lets
// nothing through. Errors: kInvalidArgument with both names, or the value.
Result<void> check_fit(const JobSpec& spec);

// A job that was accepted once: as parse_job without check_fit, so that what a later version has come to refuse
// there does not keep a coordinator with an old job from starting, nor an old model from being read.
Result<JobSpec> parse_accepted_job(std::string_view toml);

}  // namespace covey
