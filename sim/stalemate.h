// When no promise is broken, and a job fails all the same: under secure aggregation, too many of its members may be
// bound to a sum that can end neither way.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"
#include "privacy/attempt_book.h"
#include "sim/fault_plan.h"

namespace covey {

// Who is bound, at the end of a world, by the durable records of all its honest clients: as nobody in the world knows it.
// A sum has no end where so many revealed their shares that the others are too few for its ABORT, and it was not
// opened.
class Bindings {
 public:
  using Rows = std::map<std::size_t, std::vector<Row>>;  // whole disks, by honest client
  explicit Bindings(const Rows& honest);
  // What this job, as it was submitted, says, if it failed for that: fewer than selection.min_clients could ever take
  // part in its next sum, and it says so.
  std::optional<std::string> stalemate_of(const JobSpec& job, const JobSummary& summary) const;

  // Whose disks they are in a simulated world: clients that lie, or were revoked, sign nothing.
  static std::vector<std::size_t> honest(const FaultPlan& plan, std::size_t clients);

 private:
  bool endless(const AttemptRecord& record) const;

  std::map<std::size_t, std::vector<AttemptRecord>> records_;  // by honest client
  std::map<Digest, std::size_t> signers_;                      // of an ABORT, that could still sign it, by sid
};

}  // namespace covey
