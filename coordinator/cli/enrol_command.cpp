// covey enrol: one more operator, on a machine of its own or beside the first.
#include "client/service/enrol.h"
#include "coordinator/cli/commands.h"
#include "coordinator/service/home.h"
#include "core/service/exit_code.h"
#include "core/store/blobs.h"

namespace covey::cli {

Result<int> enrol_command(const EnrolOptions& options, Console& console) {
  const std::string folder = operator_folder(options.home);
  COVEY_TRY(const auto known, load_membership(folder));
  if (known)
    return unexpected(ErrorCode::kAlreadyExists, folder + " is the identity of " + known->certificate.name +
                                                     " already: name another folder with --home");
  MemoryBlobs blobs;
  SystemRandom random;
  COVEY_TRY(const Membership membership, enrol({folder, options.token, options.name, Role::kOperator}, blobs, random));
  const Certificate& own = membership.certificate;
  console.object(JsonObject()
                     .add("event", "enrolled")
                     .add("home", options.home)
                     .add("name", own.name)
                     .add("role", name_of(own.role()))
                     .add("host", membership.coordinator.host)
                     .add("members_until", iso8601(own.delegation.members_until)));
  console.line("Made " + folder + ": the identity of the operator " + own.name + ", until " + iso8601(own.delegation.members_until) + ".");
  console.line("Try it with `covey nodes" + (options.home == default_home() ? "" : " --home " + options.home) + "`.");
  return kExitOk;
}

}  // namespace covey::cli
