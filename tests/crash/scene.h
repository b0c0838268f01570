// What every run of the harness is played with: keys, certificates, one small job and its data. Made
// once and used by every run, for making keys takes longer than a run's messages.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "coordinator/coordinator.h"
#include "sim/population.h"

namespace covey::crash {

// One chunk an update, or more than the receiver's credits; or adapters beside a base that no update holds.
enum class ModelSize { kTiny, kChunked, kAdapters };
enum class JobKind { kPlain, kSecure };    // each update for itself, or the sum alone
const char* name_of(JobKind kind);         // "plain"

struct Scene {
  JobSpec job;
  std::string toml;
  std::unique_ptr<Population> population;
  SimIdentity coordinator;
  SimIdentity boss;
  std::vector<SimIdentity> clients;

  bool secure() const { return job.privacy.secure_aggregation; }
  // `start`: how often that node has started, for each process draws other keys. `seed`: the run's.
  CoordinatorConfig coordinator_config(std::uint64_t seed, std::uint64_t start) const;
  ClientConfig client_config(std::size_t client, std::uint64_t seed, std::uint64_t start) const;
  // The authority vouches for every client: what secure aggregation asks of its members.
  IssueCredentials credentials() const;
  // What the node of this key is called in findings.
  std::string name_of(const PeerKey& key) const;
};

// Errors: the example's files are missing or do not parse.
Result<std::unique_ptr<Scene>> make_scene(ModelSize size, JobKind kind, std::uint32_t clients);

// A client's vectors before their masks, as nobody in the scene sees them.
struct Encoded {
  RoundKey key;
  std::uint32_t members_max = 0;
  std::vector<std::vector<std::uint64_t>> vectors;
};

// A client's computation, as production and the simulator have it. What it masks is told first.
using TellEncoded = std::function<void(Encoded encoded)>;
Result<WorkValue> client_work(const Scene& scene, std::size_t client, const Work& work, BlobStore& blobs, const TellEncoded& tell);

}  // namespace covey::crash
