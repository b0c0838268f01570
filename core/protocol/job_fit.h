// Settings that the rest of a job makes meaningless.
#pragma once
#include "core/protocol/job_spec.h"

namespace covey {

// A setting that says something (it is not its default) and belongs to another family, optimizer, schedule or rule
// than the job's would be read and act on nothing: it was meant for something. Errors: kInvalidArgument with both names.
Result<void> check_fit(const JobSpec& spec);

}  // namespace covey
