// The coordinator of any number of jobs: nodes, cohorts, rounds, commits. Pure (core/protocol/machine.h).
#pragma once
#include <memory>
#include <vector>

#include "coordinator/key_keeper.h"
#include "core/base/batch.h"
#include "core/base/secure_random.h"
#include "core/protocol/certificate.h"
#include "core/protocol/machine.h"
#include "core/protocol/version.h"

namespace covey {

class PublicWork;  // privacy/secagg_cohort.h

struct CoordinatorConfig {
  VerifyKey authority;           // whose tokens and operator certificates count
  std::shared_ptr<const SigningKey> record_key;  // signs audit and ledger; shared: one configuration serves several starts
  std::uint32_t jobs_running_max = 1;  // further jobs wait in order of submission
  // Runs no job, and answers nodes and operators: for one that does not fit the disk to be stopped.
  bool jobs_paused = false;
  std::uint32_t nodes_max = 100'000;
  ProtocolRange protocol = {};   // nodes that speak none of these are refused
  std::uint64_t memory_bytes_max = ~std::uint64_t{0};  // for the sums of all running jobs together
  QuotaSpec job_caps = {};       // of any one job; 0: none
  // Fresh keys and nonces of secure aggregations; a simulation gives one with a seed. Shared, as the key above.
  std::shared_ptr<SecureRandom> random = std::make_shared<SystemRandom>();
  std::shared_ptr<PublicWork> public_work = {};  // shared by all machines of a simulation; none: its own
  // Certificates that `covey init` laid beside the coordinator: enrolled at Started when unknown
  // (their chain is verified; their delegation's expiry does not count).
  std::vector<Certificate> operators;
  // Renewals that `covey renew --offline` laid there: the way back of an operator whose membership
  // ended, for nobody else could register one.
  std::vector<Renewal> renewals;
  // Values of which a process before this one left a part, in the order of their ids. No row says whose they are: they
  // count against the quotas of the jobs that may be sent them, and nobody waits for the others.
  std::vector<BlobRef> partials = {};
  std::optional<TransportKeys> keys = {};  // none: its CURVE key cannot be changed
};

class Coordinator final : public Machine {
 public:
  // `rows`: everything its store holds, in key order; empty at the first start. The first event
  // must be Started, which takes every unfinished round up where the rows left it.
  // Errors: kCorrupted naming the row.
  static Result<std::unique_ptr<Coordinator>> create(CoordinatorConfig config, const std::vector<Row>& rows);
  ~Coordinator() override;
  Commands handle(const Event& event, Instant now) override;

 private:
  class State;
  explicit Coordinator(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace covey
