// The life of one job:
//   pending -> running: initial model -> rounds (cohort, updates, commit) -> final evaluation
//   -> finished, failed or stopped.
// A round closes when its target is reached, when nobody else can be expected, or at its deadline;
// silent members (kLost) hold it open only while the quorum is not reached. A node is asked again
// after it declined only when its reason may have passed.
//
// Closing is freeze, aggregate, commit. The freeze is one durable write of who counts and of the
// ledger's record; nothing is computed of their updates before. After a restart a frozen round is
// aggregated again from the same updates. An attempt that fails between freeze and commit is
// abandoned and its ledger record stays: no attempt is ever frozen twice. Where no ABORT of its members can
// be had either, the round is consumed: it ends with the model it began with, and its release is spent.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "coordinator/blob_keeper.h"
#include "coordinator/job.h"
#include "coordinator/registry.h"
#include "coordinator/round.h"
#include "coordinator/secure_attempt.h"
#include "coordinator/selector.h"
#include "coordinator/shard_planner.h"
#include "coordinator/suspicion.h"

namespace covey {

// What every part of the coordinator works with; all outlive the parts.
struct Load {
  std::uint32_t running = 1;  // jobs
  bool turn_due = false;      // a job asks for a round, or gave back nodes that others may wait for
  std::uint64_t asked = 0;    // rounds so far: the order of those who wait
};

struct Services {
  Outbox& out;
  Registry& registry;
  Journal& journal;
  RecordBook& records;
  BlobKeeper& blobs;
  std::uint64_t memory_bytes_max;  // for all running jobs together: memory_bytes_of
  QuotaSpec job_caps;              // of any one job; 0: none
  Load& load;
  SecureRandom& random;            // these three: of secure aggregations
  PublicWork& public_work;
  const VerifyKey& authority;
};

// What became of a job's turn to open a round.
enum class Turn : std::uint8_t {
  kTaken,
  kWaits,    // too few clients are there for it
  kStarved,  // enough are there, but some work for other jobs, or say that they are busy
};

inline constexpr std::uint64_t kExamplesMax = std::uint64_t{1} << 40;  // one client's weight
inline constexpr Duration kSharesMost = std::chrono::hours(1);         // that shares are waited for
inline constexpr std::uint32_t kEvaluationAttemptsMax = 3;  // at a job's final evaluation
inline constexpr std::uint32_t kConflictsAudited = 4;  // of one client in one attempt
inline constexpr std::uint32_t kFetchesMax = 32;  // updates fetched at once, shared evenly by the running jobs

class JobRunner {
 public:
  JobRunner(Services services, Job job);

  // ---- from rows. Errors: kCorrupted.
  Job& loading() { return job_; }
  Result<void> load_round(const RoundKey& key, ByteSpan value);
  Result<void> load_update(const RoundKey& key, const PeerKey& peer, ByteSpan value);
  Result<void> load_mask(const RoundKey& key, ByteSpan value);
  Result<void> load_outcome(const RoundKey& key, ByteSpan value);
  Result<void> load_unmask(const RoundKey& key, const PeerKey& peer, ByteSpan value);
  Result<void> load_vote(const RoundKey& key, const PeerKey& peer, ByteSpan value);
  Result<void> load_phase(const RoundKey& key, ByteSpan value);
  Result<void> load_spared(ByteSpan value);
  Result<void> load_liar(const PeerKey& peer, ByteSpan value);
  Result<void> load_rest(const PeerKey& peer, ByteSpan value);
  Result<void> load_suspicion(ByteSpan value);
  Result<void> assemble();               // after the last row, before check_loaded
  Result<void> check_loaded() const;
  // ---- after Started
  void publish();                        // what the rows say that clients may fetch
  void start(Instant now);               // takes up what the rows say
  // After start(): takes what may be parts of its round's updates, as far as there is room; gives back the others.
  std::vector<BlobRef> take_parts(std::vector<BlobRef> parts);
  void pause(Instant now);               // instead, while jobs are paused: leaves it where the rows have it

  void submit(Instant now);              // persists a new job as pending
  void begin(Instant now);               // its turn has come
  void wait(const std::string& text);    // it has not: why
  Result<std::string> stop(Instant now, const Node& by);

  // ---- job_turns.cpp: whose turn it is; see Coordinator::State::open_rounds
  struct Waiting {
    Instant since;
    std::uint64_t order = 0;             // lower: asked earlier
  };
  const std::optional<Waiting>& waits() const { return wants_; }  // for a round; else nothing
  Duration gives_way_for() const { return job_.spec.round.deadline; }  // how long it leaves nodes to a starved job
  std::size_t there(Instant now) const { return reach(now).there; }  // nodes that it could use, working or not
  std::uint32_t demand(Instant now) const;  // nodes that its round has, or would ask if none worked for others
  Turn take_turn(Instant now, std::uint32_t share);  // opens a round of at most so many nodes, or of min_clients
  void give_way(const JobRunner& to);

  void tick(Instant now);                // asks for a round when there is none
  void node_joined(const PeerKey& peer, Instant now);
  void node_relinked(const PeerKey& peer, Instant now);  // the same process, a new connection
  void node_left(const PeerKey& peer, Instant now);
  void node_lost(const PeerKey& peer, Instant now);
  void node_revoked(const PeerKey& peer, Instant now);

  // ---- messages from joined nodes, for this job
  void round_accepted(const Node& from, const RoundAccept& message, Instant now);
  void round_declined(Node& from, const RoundDecline& message, Instant now);
  void round_failed(Node& from, const RoundFailed& message, Instant now);
  void update_ready(const Node& from, const UpdateReady& message, Instant now);
  void masked_ready(const Node& from, const MaskedReady& message, Instant now);
  void secagg_note(const Node& from, const SecAggNote& message, Instant now);
  void secagg_letter(const Node& from, const SecAggLetter& message, Instant now);

  void persisted(Instant now);           // some write is durable

  // ---- events; false: not of this job
  bool timer_fired(const std::string& name, Instant now);
  bool blob_fetched(const BlobFetched& event, Instant now);
  bool blob_failed(const BlobFailed& event, Instant now);
  bool work_done(const WorkDone& event, Instant now);
  bool work_failed(const WorkFailed& event, Instant now);

  const Job& job() const { return job_; }
  JobSummary summary() const;            // with the round in progress

 private:
  // job_runner.cpp: before the first round and after the last
  void make_model(Instant now);
  void model_failed(const Error& error, Instant now);
  void model_ready(const BlobFetched& event, Instant now);
  void hold_model(const ModelRow& model);
  void drop_model(const ModelRow& model);
  void show_model(const ModelRow& model);
  void hide_model(const ModelRow& model);
  void end(JobState state, Instant now, const std::string& text, Batch batch = {}, std::vector<AuditEntry> acts = {});
  AuditEntry act(AuditKind kind, Instant now) const;  // of the round in progress, else of the job
  void drop_round(Batch& batch);         // its rows, blobs, work and timers
  // A model that is made, or about to be, and not wanted any more: its blobs are erased when they are known.
  void let_go_work(Ticket& work);
  void let_go_fetch(Ticket& manifest, std::optional<BlobRef> optimizer_state);
  bool let_go_fetched(const BlobFetched& event);
  bool let_go_done(const WorkDone& event);
  std::string timer(const char* what) const;

  // job_turns.cpp
  struct Reach {
    std::vector<PeerKey> free;           // that may be asked now
    std::size_t engaged = 0;             // that work for other jobs
    std::size_t there = 0;               // and with those that are busy, for other jobs or by their own word
  };
  Reach reach(Instant now) const;
  SelectionSpec selection() const;       // of the next round
  CohortBounds bounds(std::size_t there) const;  // without other jobs
  std::uint64_t updates_max() const;     // on their way or held at once
  void open_round(Instant now);          // asks for a turn

  // job_rounds.cpp: one round as a whole
  void begin_round(Selection selected, std::unique_ptr<SecureAttempt> attempt, Instant now);
  Result<std::unique_ptr<SecureAttempt>> begin_attempt(const Selection& selected);  // none: not secure
  void wait_for_clients(std::size_t there, std::size_t wanted, Instant now);
  std::string declined_text() const;     // "" when nobody declined for good
  std::string away_text() const;         // "; away: " and the first of them, or ""
  bool nobody_else() const;              // everyone asked declined, failed or was refused
  Duration evaluation_wait() const;      // for enough clients, then a job ends without its last figures
  bool asked_again() const;              // somebody declined for good, and would be asked after joining anew
  bool fails_for_declines(std::size_t wanted, const std::string& text, Instant now);
  void offer_again(Instant now);         // to members that should have answered by now
  void offer(const PeerKey& peer, Instant now);
  void consider(Instant now);            // whether the round can close
  std::uint32_t needed() const;          // updates below which it cannot commit
  bool close_sum();                      // false: not yet
  enum class Fault : std::uint8_t { kAttempt, kRestart, kRevocation };  // a restart of ours, and an operator's order, cost no attempt
  void abandon(Instant now, const std::string& why, Duration pause, Fault fault = Fault::kAttempt);
  void aggregated(const Aggregated& value);
  void next_model_ready(const BlobFetched& event, Instant now);
  void commit(Instant now, std::optional<ModelRow> next);
  void record_metrics(Batch& batch, Instant now);
  void close_to_cohort(const std::string& text);

  // job_freeze.cpp: between the two
  void freeze(Instant now);
  void release_frozen(Instant now);      // the freeze is durable: aggregate, or commit an evaluation
  void resume_frozen(Instant now);       // after a restart
  Result<void> check_frozen() const;
  std::vector<NamedContribution> contributions() const;  // of the survivors

  // job_secure.cpp: rounds of which the coordinator sees the sum alone; secure_ is there while one is open
  bool secure() const { return job_.spec.privacy.secure_aggregation; }
  SecureParts secure_parts() const;
  SecureAttempt* attempt_of(const RoundKey& key);   // in progress, or aborted
  bool sits_out(const PeerKey& peer) const;         // it masked in an attempt whose end it was not shown
  void secure_moved(Instant now);                   // whether a phase can end
  Duration phase_time() const;                      // of one that begins
  void phase_begun(Instant now);                    // or is taken up
  void phase_late(Instant now);
  void leave_out(const PeerKey& peer, Member& member);
  Digest reservation() const;                       // of the frozen round
  void agree(Instant now);
  void secagg_said(SecureAttempt& attempt, const PeerKey& peer, const Bytes& content, Instant now);
  bool letter_came(const BlobFetched& event, Instant now);  // false: none of ours
  void persist_outcome(SecureAttempt& attempt, Batch rows, Instant now);
  void outcome_heard(SecureAttempt& attempt, Instant now);
  bool keys_lost(Instant now);                      // true: its attempt was given up for that
  void unmasking_moved(Instant now);
  void open_sum();
  void opened(const Unmasked& value, Instant now);
  void tell_clamped(std::uint64_t elements, Instant now);
  void not_opened(const Error& error, Instant now);
  void sum_closed(const Unmasked& value, Instant now);
  void name_withholders(const Unmasked& value, Instant now);
  bool awaits_seeds(const Unmasked& value, Instant now);
  void record_secure_metrics(RoundMetrics& metrics) const;
  void show_again(const PeerKey& peer, Instant now);
  void tell_again(Instant now);                     // whoever is awaited

  // job_aborts.cpp
  void leave_attempt(Batch& batch);                 // secure_: its rows go, or it is kept to be aborted
  void drop_aborted(Batch& batch);
  bool seek_abort(const RoundKey& key, Instant now);  // true: one is sought now
  void resume_aborts(Instant now);
  void abort_over(Instant now);                     // there is one, or the wait for it is over
  void name_missing(Instant now);         // whom the end of a secure attempt waits for, in its text and once in the journal
  void keep_time();                                 // a phase whose time is kept began
  void keep_phases(Instant now);
  void time_passed(Instant now);
  // job_consume.cpp: rounds that end without their sum
  void give_up(Instant now, const std::string& why, Duration pause);  // a frozen one: by an ABORT, or else consumed
  void consume(Instant now, const std::string& why);
  bool consume_endless(Instant now, const std::string& why);  // false: no attempt binds too many
  void make_same_model();                // the next version, of the same shards
  void same_model_made(const BlobPut& made, Instant now);
  void same_model_failed(const Error& error, Instant now);
  bool same_model_fetched(const BlobFetched& event, Instant now);

  // job_blame.cpp: whom a job does not ask, and for how long
  enum class Rest : std::uint8_t {
    kLost,     // for one deadline, or until it joins anew
    kHeldUp,   // for one deadline
    kCaught,   // until a round comes to something
  };
  void blame(const PeerKey& peer, const std::string& what, Instant now);
  void blame_all(const SecureAttempt& attempt, Instant now);
  void leave_unfit(Instant now);         // whose join is none
  void rest(const PeerKey& peer, Rest why, Instant now);
  void keep_rest(const PeerKey& peer);   // its row
  void rest_again(Instant now);          // after a restart
  void rest_unneeded(const std::vector<PeerKey>& late, Instant now);  // where the others are enough
  void rest_late(Instant now);           // at a freeze for the deadline
  void rest_dragging(Instant now);       // at any freeze: who let it wait, and then gave no vectors
  bool dragged(const PeerKey& peer, const Member& member, Instant now) const;
  void rest_phase(Instant now);          // who let a phase before the masks wait for its end
  void rest_unheard(Instant now);        // whose votes or shares an attempt waited for in vain
  void rest_silent(Instant now);         // whose masked vectors it waited for in vain
  void free_after_commit(bool consumed, Batch& batch);
  void erase_rests(Batch& batch) const;
  void bar(const PeerKey& peer, const std::string& what, Instant now);  // for the rest of the job
  std::string named(const std::vector<std::uint32_t>& places) const;
  void dispute(const Unmasked& value, Instant now);
  std::string suspect(const Unmasked& value, Instant now);  // what is to be said of it; "": nothing
  std::string spoiled(const Unmasked& value, Instant now);  // the same
  bool is_willing(const PeerKey& peer, const Node& node) const;  // to take part in the next round, as far as is known
  std::size_t willing_without(const std::set<PeerKey>& resting) const;
  bool free_suspects();                  // true: there was one

  struct Refusal {
    Instant until;                       // when it may be asked again; Instant::max(): when it rejoins, or see caught
    DeclineReason reason = DeclineReason::kInternal;
    std::string text;
    bool caught = false;                 // our word and not its own: it stands until a round is committed
    bool barred = false;                 // or until the job ends, with a row of its own
    bool held_up = false;                // it was awaited in vain: coming back as another process mends nothing
    std::uint32_t suspected = 0;         // nothing is proven: it sits out the round after this one, and no other
    bool kept = false;                   // it has a row, rest/
  };
  // job_updates.cpp: one member
  void declined(const PeerKey& peer, Refusal refusal);
  bool sums() const;                     // its updates are summed as they come, and not kept
  std::uint64_t weight(const Member& member) const;  // of its update in the sum
  Member* member_of(const RoundKey& key, const PeerKey& peer);
  Result<void> judge_update(const UpdateReady& message) const;
  void fetch_queued(Instant now);
  std::uint32_t fetches_max() const;     // at once
  std::uint64_t held() const;            // updates that count against the quota
  std::pair<const PeerKey, Member>* next_queued();
  bool make_room(const Member& next);
  void keep_part(Member& member);        // of its update, for a later turn: it had one
  bool drop_part();                      // that of the member whose turn is last; false: there is none
  void rotate_fetches(Instant now);
  void accept_update(const PeerKey& peer, Member& member, Instant now);
  void refuse_update(const PeerKey& peer, Member& member, Error error, Instant now);
  void update_failed(const PeerKey& peer, Member& member, const Error& error, Instant now);
  void audit_conflict(const PeerKey& peer, Member& member, const Error& error, Instant now);
  struct Word {                       // of a client that gives a round nothing
    std::optional<DeclineReason> reason;  // none: it failed
    std::string text;
  };
  void journal_word(const Node& from, const RoundKey& key, const Word& word, Instant now);
  std::uint32_t attempts_max() const;    // of the round that is open
  std::string last_failure_text() const;  // of this round, for a text that ends the job; "" where none failed
  void interrupt(Member& member);        // its fetch or check, if one runs; lets go what it has not delivered
  std::pair<const PeerKey, Member>* member_with(Ticket ticket);
  void release(Member& member);
  void release_all();                    // that the round keeps
  void recognise_part(Member& member);   // of what it announces, where a process before this one left one
  bool drop_unclaimed();

  Services services_;
  Job job_;
  ShardPlanner planner_;
  std::optional<Round> round_;
  std::set<Digest> unclaimed_;           // parts of its updates from before a restart, until somebody announces them; held
  Ticket init_ = 0;                      // InitModel
  Ticket init_manifest_ = 0;
  std::set<Ticket> unwanted_work_;       // that was cancelled and may end all the same
  std::map<Ticket, std::optional<BlobRef>> unwanted_models_;  // fetches of their manifests; their optimizer states
  std::uint32_t init_failures_ = 0;      // for lack of memory, since this start
  bool paused_ = false;
  bool waiting_ = false;
  std::optional<Waiting> wants_;         // a round
  std::map<PeerKey, Refusal> not_before_;
  Suspicion suspicion_;                  // of a lie that spoils the sums, and nothing proves whose
  std::unique_ptr<SecureAttempt> secure_;
  std::map<RoundKey, std::unique_ptr<SecureAttempt>> aborted_;  // of the round in progress, or the last one
  std::set<PeerKey> informed_;           // were shown once more in this round how their attempt ended
  RoundKey aborting_;                    // whose ABORT the next attempt waits for; job 0: none
  std::uint32_t open_failures_ = 0;      // of the attempt in progress
  Duration kept_after_{};                // since the time of phases was written
  SparedRow spared_;                     // of the round in progress
  std::uint64_t clamped_told_ = 0;       // elements beyond the range, as the journal last had them
  std::optional<Instant> opens_at_;      // of the attempt in progress: its shares are enough, and more are waited for until then
  struct Unanswered {                    // offers in a row that let a joining phase wait
    std::uint32_t count = 0;
    Instant last;
  };
  std::map<PeerKey, Unanswered> unanswered_;
  std::optional<Instant> seeds_until_;   // of the attempt in progress: its members were asked what they masked with who dropped out
  struct SecureRows {                    // until assemble()
    MaskRow mask;
    std::optional<Bytes> outcome;
    std::map<PeerKey, Bytes> unmasks, votes;
    std::optional<PhaseRow> phase;
  };
  std::map<RoundKey, SecureRows> secure_rows_;
  struct Missing {
    SecureAttempt::Phase phase;
    Instant since;
    std::string text;                    // "": not said yet
  };
  std::optional<Missing> missing_;       // somebody is, in this phase
  std::optional<Instant> stuck_since_;   // too few connected clients have not declined for good
  std::pair<std::uint32_t, std::set<std::pair<PeerKey, std::optional<DeclineReason>>>> declines_named_;  // round, and who is in its journal
  std::pair<std::uint32_t, std::string> last_failure_;   // round, and who failed in it, and why
  std::uint32_t unvouched_named_ = 0;    // the round whose lack of credentials is in the journal
};

}  // namespace covey
