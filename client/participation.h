// A client's part in one round at a time: offer -> configuration -> policy -> data -> accept ->
// model -> training -> durable update -> delivered. A newer round of the same job supersedes.
// Under secure aggregation the update is masked before it is durable, and the client stays with the
// round until it is closed: its votes and shares are needed after its update was delivered.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "client/data_place.h"
#include "client/model_cache.h"
#include "client/outbox.h"
#include "client/presence.h"
#include "client/secure_part.h"
#include "client/update_shelf.h"

namespace covey::client {

class Participation {
 public:
  // All outlive this.
  Participation(const ClientConfig& config, ClientOutbox& out, const Presence& presence,
                const Vouched& vouched);

  // Errors: kCorrupted naming the row. Rows of other tables are not ours and are left alone.
  Result<void> load(const Row& row);
  Result<void> loaded();  // after every row
  void start();
  void stop();
  void rejoined();             // joined, again: says at once what is not acknowledged
  void coordinator_restarted();  // older rounds than those seen may come again

  void on(const RoundOffer& offer, Instant now);
  void on(const UpdateAccepted& message);
  void on(const UpdateRefused& message);
  void on(const RoundClosed& message);
  void on(const SecAggNote& message, Instant now);
  void on(const SecAggLetter& message, Instant now);
  void on(const CredentialsWithdrawn& message);
  void on(const Persisted& event);
  void on(const BlobFetched& event, Instant now);
  void on(const BlobFailed& event);
  void on(const WorkDone& event, Instant now);
  void on(const WorkFailed& event);
  bool on_timer(std::string_view name, bool joined);  // false: not one of its own

 private:
  enum class Phase {
    kConfig, kData, kManifest, kShards, kTraining,
    kMasking,    // the update waits for the order to mask, then for its masks
    kSaving, kDelivering,
    kSettled,    // nothing left to do but to repeat `said`
    kAbandoned,  // given up at the deadline: the same offer may start it again
  };
  struct Round {
    RoundOffer offer;
    Phase phase = Phase::kConfig;
    bool overdue = false;                // the deadline has passed with an update made: another job may come
    Ticket work = 0;                     // of PrepareData, Train, MaskUpdate or Persist; 0: none
    std::optional<Trained> made;         // under secure aggregation, until it is masked
    std::map<Ticket, BlobRef> fetches;
    std::vector<BlobRef> stalled;        // to be fetched again at the next retry
    std::set<Digest> blobs;              // of the offered model
    std::optional<Message> said;         // to be said again when the offer is repeated
  };
  struct KnownJob {
    BlobRef config;
    JobSpec spec;
    std::optional<DataPrepared> data;
  };

  bool busy() const;
  bool is_current(const RoundKey& key) const { return round_ && round_->offer.key == key; }
  void repeat(const RoundOffer& offer);
  void begin(const RoundOffer& offer, Instant now);
  bool redeliver();
  void note_newest(const RoundKey& key);
  void fetch(const BlobRef& blob);
  void fetch_stalled();
  std::optional<BlobRef> take_fetch(Ticket ticket);
  void config_fetched(const BlobFetched& event, Instant now);
  void decide(Instant now);
  void accept();
  void manifest_fetched(const BlobFetched& event);
  void train();
  void trained(const Trained& result);
  void attend();        // to what came of secure aggregation
  void mask(std::shared_ptr<const MaskPlan> plan);
  void masked(const UpdateMasked& result, Instant now);
  void drop_plain();
  bool keeps(const Digest& blob) const;
  void deliver();
  void say(Message message);
  void decline(DeclineReason reason, const std::string& text);
  void fail(const Error& error);
  void settle();
  void cancel();        // everything under way
  void deadline_passed();
  void ignored(const char* what, std::vector<LogField> fields);

  const ClientConfig& config_;
  ClientOutbox& out_;
  const Presence& presence_;
  UpdateShelf shelf_;
  ModelCache cache_;
  DataPlaces places_;
  SecurePart secure_;
  std::optional<Round> round_;
  std::optional<KnownJob> job_;                // the latest
  std::map<JobId, RoundKey> newest_;           // offers older than these come late
};

}  // namespace covey::client
