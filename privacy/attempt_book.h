// What a member keeps about its secure aggregations, for ever: which attempts it spent, which it masked
// for, how it voted. Pure: every change is a Batch that must be durable before the messages that were
// returned with it may leave.
//
// One row per attempt: "secagg/attempt/<sid in hex>" -> AttemptRecord.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/batch.h"
#include "privacy/secagg_cohort.h"

namespace covey {

inline constexpr std::string_view kAttemptPrefix = "secagg/attempt/";

enum class AttemptState : std::uint8_t {
  kJoined = 1,      // its keys lived in memory only: after a restart it is spent
  kMasked = 2,
  kVotedCommit = 3,
  kVotedAbort = 4,
  kUnmasked = 5,    // its shares left, under a certificate
  kAborted = 6,     // a quorum's ABORT was shown
};

struct AttemptRecord {
  AttemptState state = AttemptState::kJoined;
  bool masked = false;           // a masked vector may have left: nothing that overlaps may begin
  AttemptId id;                  // the root is zero until its roster was known
  Digest task;
  std::uint64_t round = 0;
  std::string stage;
  std::string data_scope;
  Digest model;
  Digest voted;                  // hash of the statement that was signed; zero before
  std::uint32_t quorum = 0;      // of an ABORT
  bool complete = false;         // everyone shared with everyone: an ABORT may follow a COMMIT
  std::vector<std::pair<std::uint32_t, VerifyKey>> committee;  // while an ABORT may still come
  bool operator==(const AttemptRecord&) const = default;
};
// In the text of join()'s refusal of what overlaps with a sum that may be out.
inline constexpr const char* kMaskedOutWords = "this member's masked update is out";
// A masked vector may be out and no ABORT was shown: nothing that overlaps may begin.
inline bool may_be_out(const AttemptRecord& r) { return r.masked && r.state != AttemptState::kAborted; }
Bytes encode(const AttemptRecord& record);
Result<AttemptRecord> decode_attempt_record(ByteSpan bytes);

class AttemptBook {
 public:
  AttemptBook() = default;
  // From the rows under kAttemptPrefix. Errors: kCorrupted.
  static Result<AttemptBook> load(const std::vector<Row>& rows);

  // May this attempt begin? Refused: a sid that was ever used; while an attempt for the same task,
  // round and stage, or of the same model, stage and data scope, was masked and no ABORT was shown; and
  // while another attempt on the same data is running. Errors: kPermissionDenied.
  Result<Batch> join(const SecAggConfig& config);
  // The attempt's end in memory: it will answer nothing more, so that another may run on its data.
  void close(const Digest& sid);

  // Its roster is known: with it on the disk, whoever loses its keys from here on can still promise to reveal nothing.
  Batch seat(const SecAggCohort& cohort);
  // Before anything masked may leave. Errors: kPermissionDenied after a vote.
  Result<Batch> mask(const SecAggCohort& cohort);
  // Sign-once: the first statement stands. On a complete graph one that signed COMMIT, and whose shares did not
  // leave, may still sign ABORT; they never leave then. Errors: kPermissionDenied for any other.
  Result<Batch> vote(const SecAggCohort& cohort, Verdict verdict, ByteSpan statement);
  // A member that lost its keys (it restarted, say) can still vote to abort what it masked for, or was about to: its
  // record has all that takes. Its place in the roster and what must be durable first; the same again when asked again.
  // Errors: kPermissionDenied where vote() would refuse it, or it is not in the committee, or the attempt still runs
  // and has masked nothing; kNotFound.
  struct LateVote {
    Batch persist;
    std::uint32_t member = 0;
  };
  Result<LateVote> vote_abort_late(const AttemptId& id, const VerifyKey& own);
  // Once. Errors: kPermissionDenied.
  Result<Batch> unmask(const Digest& sid);
  // A quorum's ABORT, during the attempt or long after. Errors: kNotFound, kInvalidMessage.
  Result<Batch> abort(const OutcomeMessage& outcome, PublicWork& work);

  const AttemptRecord* find(const Digest& sid) const;

 private:
  Batch write(const AttemptRecord& record);
  bool running(const AttemptRecord& record) const;
  std::map<Digest, AttemptRecord> records_;
  std::map<std::string, Digest> running_;  // by data scope
};

}  // namespace covey
