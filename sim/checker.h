// Watches a simulated world from outside and speaks up when a promise is broken.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/base/batch.h"
#include "core/protocol/ledger.h"
#include "core/protocol/machine.h"
#include "sim/secure_checker.h"

namespace covey {

// Promises, each checked after every event that could break it:
//  1. an acknowledged update is part of its attempt's aggregate, exactly once, if the attempt commits;
//  2. an aggregate holds only updates that were acknowledged to, or are durable for, distinct members
//     of its cohort, with the weights that they stated;
//  3. the same (job, round, attempt) is only ever offered with one model, and rounds follow each other;
//  4. no round commits below quorum, and none commits twice;
//  5. what a message says is durable before the message leaves: the round of an offer, the accepted
//     update of an acknowledgement (not where durability = "attempt"), the new model of a committed round;
//  6. a sum starts, and a round's figures are told, only when the ledger's record of just these
//     contributions is durable; an attempt that is summed again is summed of the same;
//  7. the durable ledger and audit log only ever grow, each by one chain, and no attempt has two
//     records in the ledger;
//  8. those of secure_checker.h.
class Checker {
 public:
  // `quorum_min`: the least number of updates that may commit a training round.
  explicit Checker(std::size_t quorum_min, Durability durability = Durability::kUpdate);

  // Each gives the broken promise, or nothing.
  using Finding = std::optional<std::string>;
  Finding on_client_message(const PeerKey& client, const Message& message);
  // `durable`: whether the coordinator's disk holds a row of this key now.
  using Durable = std::function<bool(const std::string& key)>;
  Finding on_coordinator_message(const PeerKey& client, const Message& message, const Durable& durable);
  // The operator has ordered it: from here on this client's update may be left out, acknowledged or not.
  void on_revoke(const PeerKey& client) {
    revoked_.insert(client);
    secure_.on_revoke(client);
  }
  // Its words are no promises.
  void on_liar(const PeerKey& client) { liars_.insert(client); }
  using ReadRow = std::function<std::optional<Bytes>(const std::string& key)>;  // of the coordinator's disk
  Finding on_aggregate(const Aggregate& work, const ReadRow& read);
  Finding on_unmask(const Unmask& work, const ReadRow& read);
  Finding on_rows(const ReadRow& read);  // after every write of the coordinator, and when it starts
  Finding at_end(const JobDetail& detail) const;
  // Both chains from their first record, with signatures, against what was followed on the way.
  Finding chains_at_end(const std::vector<Row>& rows, const VerifyKey& record_key) const;

  SecureChecker& secure() { return secure_; }
  const SecureChecker& secure() const { return secure_; }
  std::size_t committed() const { return committed_.size(); }
  std::size_t acknowledged() const { return acknowledged_total_; }

 private:
  struct Attempt {
    Digest model;
    std::set<PeerKey> cohort;
    std::map<PeerKey, UpdateReady> offered;     // what clients say they made (the latest)
    std::map<PeerKey, Digest> acknowledged;
    std::optional<std::vector<Contribution>> aggregate;
  };
  Finding on_offer(const PeerKey& client, const RoundOffer& offer, const Durable& durable);
  Finding on_accepted(const PeerKey& client, const UpdateAccepted& accepted, const Durable& durable);
  Finding on_masked_accepted(const PeerKey& client, const RoundKey& key, const Durable& durable);
  Finding on_closed(const RoundClosed& closed, const Durable& durable);
  struct Followed {
    std::string_view name;
    std::string (*key)(std::uint64_t sequence);
    ChainReader reader;
  };
  Finding follow(Followed& chain, const ReadRow& read);
  Finding enter(const ChainRecord& record);  // into releases_
  Finding not_allowed(const Attempt& attempt, const Aggregate& work, const std::set<PeerKey>& counted) const;
  Finding left_out(const Attempt& attempt, const RoundKey& key) const;

  std::size_t quorum_min_;
  Durability durability_;
  std::map<RoundKey, Attempt> attempts_;
  std::map<std::pair<JobId, std::uint32_t>, std::uint32_t> committed_;  // (job, round) -> attempt
  std::map<std::pair<JobId, std::uint32_t>, RoundKey> latest_;          // newest attempt offered
  std::set<PeerKey> revoked_;
  std::set<PeerKey> liars_;
  SecureChecker secure_;
  std::size_t acknowledged_total_ = 0;
  Followed audit_;
  Followed ledger_;
  std::map<RoundKey, ReleaseRecord> releases_;  // durable
};

}  // namespace covey
