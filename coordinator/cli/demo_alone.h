// One model per client, trained alone in this process.
#pragma once
#include <vector>

#include "client/trainer.h"
#include "coordinator/cli/console.h"

namespace covey::cli {

struct AloneTrainings {
  JobSpec job;
  std::vector<PeerKey> keys;     // of the clients, in the order of their data
  double seconds_expected = 0;   // for the moving line
};
// All at once, one thread each, as the daemons trained. Gives each model's parameters, in order.
// Errors: those of train(); kUnavailable when Ctrl-C came.
Result<std::vector<std::vector<float>>> train_all_alone(const AloneTrainings& request, const std::vector<LocalData>& data,
                                                        Console& console);

std::vector<float> initial_parameters_of(const JobSpec& job);

}  // namespace covey::cli
