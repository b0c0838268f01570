// Plays one run: a coordinator, an operator and clients around a network of virtual time, one of them
// a process that is killed where the plan says and started again on the folder that it leaves.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/crash/oracle.h"
#include "tests/crash/scene.h"
#include "tests/crash/scripted_client.h"
#include "tests/crash/site.h"

namespace covey::crash {

enum class Victim { kCoordinator, kClient };  // who is the process that dies
const char* name_of(Victim victim);

struct Kill {              // in one life of the process
  std::string point;
  std::uint64_t nth = 0;   // 0: this life is not ended
};

struct Plan {
  std::uint64_t seed = 1;
  Victim victim = Victim::kCoordinator;
  Mutant mutant = Mutant::kNone;
  std::vector<Kill> kills{};             // of its first lives; later ones live
  ScriptedClient::Manners manners = ScriptedClient::Manners::kUnruly;
  std::uint32_t replays = 0;             // times every client message is sent again, in each of three ways
};

struct Outcome {
  std::vector<std::string> findings;
  Oracle::Tally tally;
  std::uint64_t kills = 0;
  std::uint64_t replayed = 0;            // messages
  // Under secure aggregation: what the job says that failed because too many members are bound to a sum that can
  // end neither way, by the records of them all (sim/stalemate.h). No promise is broken by that.
  std::optional<std::string> stalemate;
  double virtual_seconds = 0;
};

// `folder` is made and removed again. Deterministic but for the order in which the process's own
// threads come to run.
Outcome play(const Scene& scene, const FaultTable& faults, const Plan& plan, const std::string& folder);

}  // namespace covey::crash
