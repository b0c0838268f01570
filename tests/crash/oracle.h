// Judges a run from outside the process that dies: from what was shown to somebody before a death,
// what each later start finds on the disk, and its own sum of the updates. It never asks the machine.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/tables.h"
#include "core/protocol/chain.h"
#include "core/protocol/ledger.h"
#include "tests/crash/scene.h"
#include "tests/crash/secure_oracle.h"
#include "tests/crash/site.h"

namespace covey::crash {

class Oracle {
 public:
  explicit Oracle(const Scene& scene) : scene_(scene), secure_(scene, [this](std::string finding) { find(std::move(finding)); }) {}
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  void on_client(const PeerKey& from, const Message& message);     // as it leaves the client
  void on_coordinator(const PeerKey& to, const Message& message);  // as it leaves the coordinator
  void on_encoded(const PeerKey& client, Encoded encoded) { secure_.on_encoded(client, std::move(encoded)); }
  void watch_client(const PeerKey& client) {  // a real one, which is killed
    watched_.insert(client);
    secure_.watch_client(client);
  }
  void on_boot(const BootReport& boot);                            // of the coordinator
  void on_client_boot(const PeerKey& client, const BootReport& boot);
  void told_client(const PeerKey& client, const Message& message); // delivered to it
  enum class Ending { kFinished, kStalemate };  // of the job: a stalemate commits some of its rounds only
  void at_end(const std::vector<Row>& rows, Ending ending);
  void find(std::string finding) { findings_.push_back(std::move(finding)); }

  const std::vector<std::string>& findings() const { return findings_; }
  struct Tally {
    std::uint64_t acknowledged = 0;     // updates, each once
    std::uint64_t counted = 0;          // in committed sums
    std::uint64_t sums = 0;             // that were made again and compared bit by bit
    std::uint64_t unverified = 0;       // committed models that nobody fetched
    std::uint64_t changed = 0;          // attempts in which a client announced another after its acknowledgement
    std::uint64_t changed_refused = 0;
    std::uint64_t chunks_again = 0;     // of a watched client's updates, sent more than once
    std::uint64_t ledger = 0;           // records at the end
    std::uint64_t audit = 0;
    std::uint64_t conflicts = 0;        // of those refused, answered while the attempt was open
    std::uint64_t consumed = 0;         // rounds under secure aggregation that ended without their sum
    std::uint64_t aborted = 0;          // attempts under secure aggregation whose ABORT was shown
  };
  const Tally& tally() const { return tally_; }

 private:
  struct Said {                       // what one client announced in one attempt
    std::vector<UpdateReady> before;  // up to the acknowledgement: one of these counts
    bool acknowledged = false;
    bool changed = false;             // another one was announced after it ...
    bool changed_refused = false;     // ... and refused
    bool conflict = false;            // ... because the first one counts
  };
  struct Rows {                       // of one look at the disk
    std::optional<JobSummary> summary;
    std::map<std::string, Bytes> all;
    bool has(const std::string& key) const { return all.contains(key); }
  };
  Rows look(const std::vector<Row>& rows);
  void judge_rows(const Rows& rows);
  void judge_acknowledged(const Rows& rows, const std::set<Digest>* blobs);
  void judge_ledger(const Rows& rows);
  void read_ledger(const Rows& rows);
  void judge_audit(const Rows& rows);
  void judge_released(const Rows& rows, const std::map<RoundKey, std::uint64_t>& released);
  ChainHead follow(const Rows& rows, std::string_view chain, const std::string& table, std::vector<Digest>& known);
  void on_offer(const PeerKey& to, const RoundOffer& offer);
  void on_closed(const RoundClosed& closed);
  void on_answer(const PeerKey& to, const Message& message);  // to a plain update
  bool note_chunk(const Chunk& chunk) { return chunks_[chunk.blob].try_emplace(chunk.index, chunk.bytes).second; }
  void on_watched(const PeerKey& client, const UpdateReady& ready);
  std::optional<Bytes> value_of(const BlobRef& blob) const;
  std::optional<std::vector<float>> model_of(const BlobRef& manifest) const;
  void judge_allowance(const RoundKey& key, std::vector<NamedContribution> contributions);
  void judge_round(const Rows& rows, std::uint32_t round);
  void judge_secure_round(const RoundMetrics& metrics, const RoundKey& key);
  void judge_consumed(const RoundMetrics& metrics, const RoundKey& key);
  void judge_sum(std::uint32_t round, const std::map<PeerKey, ClientMetrics>& cohort, const RoundKey& key);
  std::string who(const PeerKey& peer) const { return scene_.name_of(peer); }

  const Scene& scene_;
  SecureOracle secure_;
  std::vector<std::string> findings_;
  Tally tally_;
  std::map<RoundKey, std::map<PeerKey, Said>> said_;
  std::map<Digest, std::map<std::uint32_t, Bytes>> chunks_;
  std::map<RoundKey, BlobRef> offered_;
  std::map<std::uint32_t, BlobRef> models_;       // by version
  std::map<std::uint32_t, RoundKey> closed_;      // rounds said to be committed
  std::map<std::string, Bytes> final_rows_;       // that never change once seen: metrics
  std::set<JobId> submitted_;
  std::vector<Digest> ledger_, audit_;            // hashes of records seen, by sequence
  std::map<RoundKey, Digest> allowed_;            // by the ledger: what may be released
  std::set<RoundKey> consumed_;                   // by the audit log
  std::set<PeerKey> watched_;
  std::map<std::pair<PeerKey, RoundKey>, UpdateReady> announced_;  // by a watched client, unanswered
  std::map<std::pair<PeerKey, RoundKey>, Digest> made_;            // its update in an attempt, for good
};

}  // namespace covey::crash
