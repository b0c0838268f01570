// What every run of the harness is played with: keys, certificates, one small job and its data. Made
// once and used by every run, for making keys takes longer than a run's messages.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "coordinator/coordinator.h"
#include "sim/population.h"

namespace covey::crash {

enum class ModelSize { kTiny, kChunked };  // one chunk an update, or more than the receiver's credits

struct Scene {
  JobSpec job;
  std::string toml;
  std::unique_ptr<Population> population;
  SimIdentity coordinator;
  SimIdentity boss;
  std::vector<SimIdentity> clients;

  CoordinatorConfig coordinator_config() const;
  ClientConfig client_config(std::size_t client, std::uint64_t instance) const;
  // What the node of this key is called in findings.
  std::string name_of(const PeerKey& key) const;
};

// Errors: the example's files are missing or do not parse.
Result<std::unique_ptr<Scene>> make_scene(ModelSize size, std::uint32_t clients);

// A client's computation, as production and the simulator have it.
Result<WorkValue> client_work(const Scene& scene, std::size_t client, const Work& work, BlobStore& blobs);

}  // namespace covey::crash
