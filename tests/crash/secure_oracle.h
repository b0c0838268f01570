// Judges what secure aggregation adds to a run, from outside the process that dies: what either role said before
// a death against the rows that its next start finds, and each released sum against the sum of the vectors as
// they were before their masks, which nobody in the scene sees.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/tables.h"
#include "privacy/attempt_book.h"
#include "privacy/secagg_messages.h"
#include "tests/crash/scene.h"
#include "tests/crash/site.h"

namespace covey::crash {

class SecureOracle {
 public:
  using Find = std::function<void(std::string finding)>;
  using ValueOf = std::function<std::optional<Bytes>(const BlobRef& blob)>;  // of what went over the network
  SecureOracle(const Scene& scene, Find find) : scene_(scene), find_(std::move(find)) {}

  void watch_client(const PeerKey& client) { watched_.insert(client); }  // a real one, which is killed
  void on_encoded(const PeerKey& client, Encoded encoded);
  void on_client(const PeerKey& from, const Message& message);     // as it leaves the client
  void on_coordinator(const PeerKey& to, const Message& message);  // as it leaves the coordinator
  void told_client(const PeerKey& client, const Message& message); // delivered to it

  // What a start of the coordinator finds; `blobs`: null where nobody looked.
  struct Disk {
    const std::map<std::string, Bytes>& rows;
    const std::optional<JobSummary>& summary;
    const std::set<Digest>* blobs = nullptr;
  };
  void on_disk(const Disk& disk);
  void on_client_boot(const PeerKey& client, const BootReport& boot);

  // A round that was committed: who counts by the ledger, and that the model is the sum of just those.
  struct Committed {
    RoundMetrics metrics;
    RoundKey key;
    Digest contributions;            // by its ledger record
    std::optional<BlobRef> before;   // manifests; absent where unknown
    std::optional<BlobRef> after;    // absent of an evaluation
  };
  struct Judged {
    std::size_t counted = 0;
    bool model = false;              // was made again and compared bit by bit
  };
  Judged judge(const Committed& round, const ValueOf& value_of);
  std::size_t acknowledged() const;  // masked vectors, each once
  std::size_t aborted() const;       // attempts whose ABORT was shown

 private:
  struct Attempt {
    std::map<PeerKey, Encoded> encoded;
    std::map<PeerKey, std::set<BlobRef>> sent;
    std::set<PeerKey> acknowledged;
    std::optional<MaskOrderMessage> order;        // as it was first shown
    std::optional<SurvivorsMessage> survivors;
    bool commit_shown = false;
    bool abort_shown = false;
    bool committed = false;
  };
  struct Said {                                   // by a watched client in one attempt
    RoundKey key;
    bool joined = false;
    std::optional<Digest> masked;                 // H(y) signed
    Bytes commit, abort, reveal;                  // whole messages
    bool abort_told = false;                      // a quorum's ABORT reached it
  };
  using Sids = std::map<Digest, Said>;
  void on_masked(const PeerKey& from, const MaskedReady& ready);
  void on_said(const PeerKey& from, const RoundKey& key, const SecAggMessage& message);
  void on_join(const PeerKey& from, const RoundKey& key, const JoinMessage& join);
  void on_vote(const PeerKey& from, const VoteMessage& vote);
  void on_shown(const RoundKey& key, const SecAggMessage& message);
  void judge_attempt(const RoundKey& key, const Attempt& attempt, const Disk& disk);
  void judge_vectors(const RoundKey& key, const Attempt& attempt, const Disk& disk);
  void judge_record(const PeerKey& client, const Said& said, const std::optional<AttemptRecord>& record);
  std::optional<std::vector<PeerKey>> named_by(const Attempt& attempt, const Digest& contributions) const;
  std::string who(const PeerKey& peer) const { return scene_.name_of(peer); }

  const Scene& scene_;
  Find find_;
  std::map<RoundKey, Attempt> attempts_;
  std::set<PeerKey> watched_;
  std::map<PeerKey, Sids> said_;
  std::map<std::pair<PeerKey, RoundKey>, MaskedReady> announced_;  // by a watched client, unanswered
};

}  // namespace covey::crash
