// Settings that the rest of a job makes meaningless.
#pragma once
#include "core/protocol/job_spec.h"

namespace covey {

// A setting that says something (it is not its default) and belongs to another family, optimizer, schedule or rule
// than the job's would be read and act on nothing: it was meant for something. So would a clip norm that lets
// nothing through. Errors: kInvalidArgument with both names, or the value.
Result<void> check_fit(const JobSpec& spec);

// A job that was accepted once, or its public configuration: as parse_job without check_fit, so that what a later
// version has come to refuse there does not keep a coordinator with an old job from starting, nor an old model from
// being read. And update.exchange is "all" where it is not said: so it was with every job of the versions that did
// not know it, whose text stays as it is, and to_toml says "trained".
Result<JobSpec> parse_accepted_job(std::string_view toml);

}  // namespace covey
