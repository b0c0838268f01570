// One attempt's secure aggregation as the coordinator drives it: its SecAggServer, who sits at which place
// of the roster, what each member is told, letters, and the rows from which it goes on after a restart
// (docs/durable_state.md). Pure; JobRunner decides when the round freezes and what follows.
//
// Members repeat themselves, and so does this: a message may be lost with a connection. What a member says
// in vain is answered with what its phase tells it.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/blob_keeper.h"
#include "coordinator/registry.h"
#include "coordinator/round.h"
#include "privacy/secagg_server.h"

namespace covey {

// Of members that take part in no other sum before the ABORT of theirs is signed.
inline constexpr const char* kEndlessWords = "masked for a sum that has no end";
inline constexpr std::size_t kLettersInMax = 8;  // different ones, of one member in one attempt
inline constexpr Duration kToldAgain = std::chrono::seconds(1);  // between two answers to one member's repetitions
inline constexpr Duration kPhaseLeast = std::chrono::seconds(1);
inline constexpr Duration kPhaseMost = std::chrono::seconds(60);  // a roster 300 s after the invitation is refused
inline constexpr Duration kAwaited = 2 * kHeartbeatInterval;     // for a member's answer, before it is told again

struct SecureParts {  // all outlive the attempts
  Outbox& out;
  Registry& registry;
  BlobKeeper& blobs;
  SecureRandom& random;
  PublicWork& work;
  const VerifyKey& authority;
};

// Whether as many members as the job waits for could aggregate on its terms. Errors: kInvalidArgument.
Result<void> check_secure(const JobSpec& job);

class SecureAttempt {
 public:
  using Phase = SecAggServer::Phase;
  struct Plan {
    RoundKey key;
    RoundKind kind = RoundKind::kTrain;
    Digest config;             // the job's public configuration
    Digest model;              // the offered manifest
    std::uint32_t asked = 0;   // members that may join
    std::uint32_t quorum = 0;  // updates below which the job would not commit
  };
  // Errors: kInvalidArgument where no graph serves so many members, with what to change.
  static Result<std::unique_ptr<SecureAttempt>> begin(const SecureParts& parts, const Plan& plan, const JobSpec& job);
  // From rows; then in this order, as far as there are rows. Errors: kCorrupted.
  static Result<std::unique_ptr<SecureAttempt>> restore(const SecureParts& parts, const RoundKey& key, const MaskRow& row);
  Result<void> load_masked(const PeerKey& peer, const Bytes& note);
  Result<void> load_agreed(const Digest& reservation);
  Result<void> load_outcome(ByteSpan certificate);
  Result<void> load_unmask(const PeerKey& peer, const Bytes& note);
  Result<void> load_phase(const PhaseRow& row);
  // Of one verdict: COMMIT once it is agreed, ABORT once it is sought.
  Result<void> load_vote(const PeerKey& peer, const Bytes& note, Verdict verdict);
  ~SecureAttempt();

  // ---- the time of a phase, which goes on where the last process stopped and passes only while one runs
  // What is left for it by the rows, kPhaseLeast at least; `whole` where they are of another phase.
  Duration time_for(Duration whole) const;
  bool out_of_time() const;                    // by the rows
  void lasts(Duration time, Instant now) { ends_ = now + time; }
  void keep_phase(Batch& batch, Instant now) const;  // masking or later

  const RoundKey& key() const { return key_; }
  Phase phase() const { return server_->phase(); }
  const char* phase_name() const;
  bool masking_over() const { return phase() > Phase::kMasking; }
  // A mask order may be out, and the members can be asked for an ABORT, or have been.
  bool open_masks() const;
  std::uint32_t members() const { return server_->cohort() == nullptr ? 0 : server_->cohort()->members(); }
  std::uint32_t maskers() const { return server_->maskers().count(); }
  std::uint32_t survivors() const { return server_->survivors().count(); }
  std::uint32_t members_max() const { return server_->config().members_max; }
  const Digest& revocation_root() const { return server_->config().revocation_root; }  // of the list that its members go by
  std::uint32_t corrupt_max() const { return server_->config().corrupt_max; }  // members that may lie
  std::uint32_t needed() const;                 // survivors, by the terms of the aggregation
  bool can_abort() const { return server_->can_abort(); }
  bool decided() const { return phase() == Phase::kUnmasking || phase() == Phase::kCommitted; }  // for a COMMIT
  // Enough survivors hold their keys for the sum to be opened, as far as is known: a member that joins as another
  // process has lost them.
  bool may_open() const;
  bool absent_may_open() const;                 // those that are away, with what was revealed; on a ring nobody waits for them
  bool more_may_reveal() const;                 // a survivor that holds its keys, as far as is known, and revealed no share yet
  // The ABORT that was asked for is not signed, but those that are away could still complete it.
  bool awaits_absent() const;
  std::string abort_text() const;               // how far it is: "3 of the 5 members that it takes"
  bool can_freeze() const { return server_->can_close_masks(); }
  const std::vector<Blame>& blame() const { return server_->blame(); }
  const std::optional<OutcomeMessage>& certificate() const { return server_->certificate(); }
  bool joined(const PeerKey& peer) const;
  bool takes_part(const PeerKey& peer) const;   // still, in this phase
  bool masks(const PeerKey& peer) const;        // was told to
  bool seated(const PeerKey& peer) const { return places_.contains(peer); }  // in the roster: may have to vote
  std::optional<PeerKey> peer_at(std::uint32_t place) const;
  std::vector<PeerKey> unheard() const;         // connected, awaited in this phase, and of the roster
  std::vector<PeerKey> missing() const;         // these, and those that are away and may come back with their keys
  Instant ends() const { return ends_; }        // this phase, by its own time
  // Since the last call: whose join is none, and why. Nobody awaits them any more.
  std::map<PeerKey, std::string> take_unfit() { return std::exchange(unfit_, {}); }
  std::vector<PeerKey> awaited(const std::map<PeerKey, Member>& members) const;  // of those that are there
  bool awaits_any(const std::map<PeerKey, Member>& members) const { return !awaited(members).empty(); }

  // ---- what happens
  bool joined_again(const PeerKey& peer);       // perhaps as another process; true: that is news, and its keys are lost
  void tell(const PeerKey& peer, Instant now);  // what its phase tells it, if it is connected
  // The same to everyone awaited who was told long ago: what was said may be lost.
  void tell_awaited(const std::map<PeerKey, Member>& members, Instant now);
  void tell_awaited(Instant now);               // of an attempt that is over
  // A message of this member's: what must become durable before answer(), which sends what it calls for.
  // Errors: kInvalidMessage, kPermissionDenied; it changed nothing, and is answered.
  struct Heard {
    Batch rows;
    std::vector<Outgoing> answers;
    bool again = false;                         // a vote that is not needed any more
    bool opens = false;                         // shares or seeds that were not here before
  };
  Result<Heard> heard(const PeerKey& peer, const Bytes& content, Instant now);
  void answer(const PeerKey& peer, const Heard& heard, Instant now);
  void letter(const PeerKey& peer, const BlobRef& content, Instant now);
  // Ends the phase where nobody else is awaited, or it is late. True when it did. Errors: as SecAggServer.
  Result<bool> advance(const std::map<PeerKey, Member>& members, bool late, Instant now);

  // ---- masked vectors
  Result<void> judge(const PeerKey& peer, const MaskedReady& message, const JobSpec& job) const;
  CheckMasked check(const BlobRef& vectors, const JobSpec& job) const;
  // They are here whole. Errors: kInvalidUpdate: they are not those it signed.
  Result<void> masked(const PeerKey& peer, const Bytes& note, const Digest& hash);

  // ---- the end
  void agree(const Digest& reservation, Instant now);  // the freeze is durable
  bool can_open() const { return server_->can_recover(); }
  std::shared_ptr<const SumRecovery> recovery() const;    // can_open()
  std::vector<std::uint32_t> seeds_withheld() const { return server_->seeds_withheld(); }
  void ask_seeds(const std::vector<std::uint32_t>& dealers, Instant now);  // phase kUnmasking, of members that dropped out
  void abort(Instant now);                             // open_masks()
  // Before abort(), with what gives the attempt up: what a COMMIT left goes, so that a restart asks for the ABORT.
  void erase_commit(Batch& batch);
  void erase_rows(Batch& batch) const;
  void close();                                        // letters are let go

  // ---- events; false: not its own
  bool work_done(const WorkDone& event);
  bool work_failed(const WorkFailed& event);
  std::optional<PeerKey> letter_came(const BlobFetched& event);  // whose it is; none: not its own
  bool blob_failed(const BlobFailed& event);

 private:
  struct Letter {
    BlobRef blob;
    Ticket putting = 0;                // until it is stored
    std::set<PeerKey> waiting;         // whom to tell then
  };
  SecureAttempt(const SecureParts& parts, RoundKey key, RoundKind kind, std::unique_ptr<SecAggServer> server);
  void send(const PeerKey& peer, const Bytes& content);
  void send(const std::vector<Outgoing>& all);
  void deliver(Letter& letter, const PeerKey& peer);
  Result<void> check_speaker(const PeerKey& peer, const SecAggMessage& message) const;
  void seat();
  std::optional<std::uint32_t> place_of(const PeerKey& peer) const;
  void refused(const PeerKey& peer, const Error& error, Instant now);
  void judge_join(const PeerKey& peer, const JoinMessage& join, const Error& error);
  bool may_reveal();
  std::uint32_t holders(bool linked) const;
  std::vector<std::uint64_t> instances() const;
  void erase_votes(Batch& batch) const;

  SecureParts parts_;
  RoundKey key_;
  RoundKind kind_;
  std::unique_ptr<SecAggServer> server_;
  Digest sid_;
  std::map<SubjectId, PeerKey> subjects_;    // of those that joined
  std::map<PeerKey, std::string> unfit_;
  std::vector<PeerKey> peers_;               // by place, from the roster on
  std::map<PeerKey, std::uint32_t> places_;
  std::map<Digest, Letter> letters_;         // by blob
  std::map<Ticket, std::pair<PeerKey, BlobRef>> letters_in_;
  std::map<PeerKey, std::set<BlobRef>> letters_from_;
  std::set<std::pair<PeerKey, BlobRef>> letters_read_;
  std::map<PeerKey, Instant> told_;
  Instant latest_;
  std::set<PeerKey> unmasks_, votes_;        // that have rows
  std::map<PeerKey, std::uint64_t> instances_;  // the processes that hold keys
  std::set<PeerKey> lost_;                   // whose process is another since: its keys are gone
  bool revealing_ = false;                   // the COMMIT's certificate is shown
  std::optional<PhaseRow> row_;              // as it was at this process's start
  Instant ends_;                             // this phase
};

}  // namespace covey
