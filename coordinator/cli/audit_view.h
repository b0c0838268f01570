// A verified audit log as people and programs read it. Pure.
#pragma once
#include <optional>

#include "coordinator/cli/audit_log.h"
#include "coordinator/cli/format.h"
#include "coordinator/cli/json_object.h"

namespace covey::cli {

bool tells_of(const VerifiedLog& log, JobId job);

// `job`: only its records; absent: all.
Table audit_table(const VerifiedLog& log, std::optional<JobId> job);
Table ledger_table(const VerifiedLog& log, std::optional<JobId> job);
std::vector<JsonObject> audit_objects(const VerifiedLog& log, std::optional<JobId> job);
std::vector<JsonObject> ledger_objects(const VerifiedLog& log, std::optional<JobId> job);

}  // namespace covey::cli
