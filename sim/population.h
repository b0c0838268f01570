// The clients of a simulated federation: one data set divided among them, and what machines they run on.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "client/trainer.h"
#include "core/data/dataset.h"
#include "core/protocol/credential.h"

namespace covey {

struct PopulationRequest {
  JobSpec job;
  std::string data;            // path
  std::uint32_t clients = 10;
  std::uint64_t seed = 1;
  std::string tokenizer = {};  // tokenizer.json that the job pins, or its folder; empty: the one in `data`
};

class Population {
 public:
  // Loads and divides the data. Errors: those of load_dataset and partition.
  static Result<std::unique_ptr<Population>> create(const PopulationRequest& request);
  // As create, from a data set at hand; for tests.
  static Result<std::unique_ptr<Population>> create(std::shared_ptr<const Dataset> data, const PopulationRequest& request);

  std::uint32_t clients() const { return static_cast<std::uint32_t>(locals_.size()); }
  const Dataset& data() const { return *data_; }
  const std::shared_ptr<const Dataset>& shared_data() const { return data_; }
  // Gives one client another data set of the same examples: poisoned labels, say.
  void replace_data(std::uint32_t client, std::shared_ptr<const Dataset> data) { locals_.at(client).data = std::move(data); }
  const LocalData& local(std::uint32_t client) const { return locals_[client]; }
  const Capability& capability(std::uint32_t client) const { return capabilities_[client]; }
  // Examples: all, and of the client with least and most training examples.
  struct Spread {
    std::uint64_t train = 0, holdout = 0, least = 0, most = 0;
    std::uint32_t empty = 0;
  };
  Spread spread() const;

 private:
  std::shared_ptr<const Dataset> data_;  // shared: LocalData of every client points at it
  std::vector<LocalData> locals_;
  std::vector<Capability> capabilities_;
};

// Keys and certificates of a simulated node, from a seed: nothing outside the simulation trusts them.
struct SimIdentity {
  PeerKey key;
  Certificate certificate;
  std::shared_ptr<const SigningKey> signing;  // shared: by every start of the node
  MemberCredential credential;                // what the authority signs when it vouches for the node
};
SigningKey sim_authority(std::uint64_t seed);
SigningKey sim_record_key(std::uint64_t seed);  // of the coordinator
// `expires`: of its token, which counts only for a node that enrols late.
SimIdentity sim_identity(std::uint64_t seed, const std::string& name, Role role, Instant expires = {});

}  // namespace covey
