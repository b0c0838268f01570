#include "privacy/attempt_book.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 2;  // 1: without `complete`; its ABORT needs Q, and no COMMIT before
std::string key_of(const Digest& sid) { return std::string(kAttemptPrefix) + hex(sid.span()); }
Unexpected refused(const std::string& why) { return unexpected(ErrorCode::kPermissionDenied, why); }

void bind_to(const SecAggCohort& cohort, AttemptRecord& record) {
  record.id = cohort.id();
  record.quorum = cohort.graph().abort_quorum;
  record.complete = cohort.graph().complete;
  record.committee.clear();
  for (const std::uint32_t member : cohort.committee())
    record.committee.emplace_back(member, cohort.entries()[member].credential.key);
}

// Has it signed nothing that keeps it from promising that it reveals nothing? A COMMIT does on a ring, where
// members share with some only, and an ABORT rests on no honest committee member having signed both.
bool may_abort(const AttemptRecord& record) {
  return record.state == AttemptState::kMasked || (record.state == AttemptState::kVotedCommit && record.complete);
}

}  // namespace

Bytes encode(const AttemptRecord& r) {
  ByteWriter out;
  out.u8(kVersion).u8(static_cast<std::uint8_t>(r.state)).boolean(r.masked).fixed(r.id.sid).fixed(r.id.root);
  out.fixed(r.task).u64(r.round).text(r.stage).text(r.data_scope).fixed(r.model).fixed(r.voted).u32(r.quorum);
  out.boolean(r.complete);
  out.u32(static_cast<std::uint32_t>(r.committee.size()));
  for (const auto& [member, key] : r.committee) out.u32(member).fixed(key);
  return out.take();
}

Result<AttemptRecord> decode_attempt_record(ByteSpan bytes) {
  ByteReader in(bytes);
  const std::uint8_t version = in.u8();
  if (version < 1 || version > kVersion) in.refuse();
  AttemptRecord r;
  const std::uint8_t state = in.u8();
  if (state < 1 || state > 6) in.refuse();
  r.state = static_cast<AttemptState>(state);
  r.masked = in.boolean();
  r.id.sid = in.fixed<Digest>();
  r.id.root = in.fixed<RosterRoot>();
  r.task = in.fixed<Digest>();
  r.round = in.u64();
  r.stage = in.text();
  r.data_scope = in.text();
  r.model = in.fixed<Digest>();
  r.voted = in.fixed<Digest>();
  r.quorum = in.u32();
  r.complete = version > 1 && in.boolean();
  r.committee.resize(in.count(4 + 32));
  for (std::size_t i = 0; i < r.committee.size(); ++i) {
    auto& [member, key] = r.committee[i];
    member = in.u32();
    key = in.fixed<VerifyKey>();
    if (i > 0 && r.committee[i - 1].first >= member) in.refuse();
  }
  COVEY_TRY_VOID(in.finish("record of a secure aggregation"));
  return r;
}

Result<AttemptBook> AttemptBook::load(const std::vector<Row>& rows) {
  AttemptBook book;
  for (const Row& row : rows) {
    COVEY_TRY(AttemptRecord record, decode_attempt_record(row.value));
    if (row.key != key_of(record.id.sid))
      return unexpected(ErrorCode::kCorrupted, "the record under " + row.key + " is of another attempt");
    book.records_.emplace(record.id.sid, std::move(record));
  }
  return book;
}

Result<Batch> AttemptBook::join(const SecAggConfig& c) {
  const Digest sid = sid_of(c);
  if (records_.contains(sid)) return refused("attempt " + short_hex(sid) + " was joined before: its keys are spent; a new attempt is needed");
  if (const auto open = running_.find(c.data_scope); open != running_.end())
    return refused("attempt " + short_hex(open->second) + " is running on the data '" + c.data_scope + "'; close it first");
  for (const auto& [other, r] : records_) {
    if (!may_be_out(r)) continue;
    const bool same_stage = r.task == c.task && r.round == c.round && r.stage == c.stage;
    const bool same_input = r.model == c.model && r.stage == c.stage && r.data_scope == c.data_scope;
    if (same_stage || same_input)
      return refused(std::string(kMaskedOutWords) + " under attempt " + short_hex(other) +
                     "; a second sum could be subtracted from the first. Show the committee's ABORT, or go on without it");
  }
  AttemptRecord record;
  record.id.sid = sid;
  record.task = c.task;
  record.round = c.round;
  record.stage = c.stage;
  record.data_scope = c.data_scope;
  record.model = c.model;
  running_[c.data_scope] = sid;
  return write(records_.emplace(sid, std::move(record)).first->second);
}

void AttemptBook::close(const Digest& sid) {
  const auto found = records_.find(sid);
  if (found == records_.end()) return;
  const auto open = running_.find(found->second.data_scope);
  if (open != running_.end() && open->second == sid) running_.erase(open);
}

Batch AttemptBook::seat(const SecAggCohort& cohort) {
  AttemptRecord& record = records_.at(cohort.id().sid);
  if (record.state == AttemptState::kJoined) bind_to(cohort, record);
  return write(record);
}

bool AttemptBook::running(const AttemptRecord& record) const {
  const auto open = running_.find(record.data_scope);
  return open != running_.end() && open->second == record.id.sid;
}

Result<Batch> AttemptBook::mask(const SecAggCohort& cohort) {
  AttemptRecord& record = records_.at(cohort.id().sid);
  if (record.state != AttemptState::kJoined)
    return refused("attempt " + short_hex(record.id.sid) + " was masked for or voted on already");
  record.state = AttemptState::kMasked;
  record.masked = true;
  bind_to(cohort, record);
  return write(record);
}

Result<Batch> AttemptBook::vote(const SecAggCohort& cohort, Verdict verdict, ByteSpan statement) {
  const Digest& sid = cohort.id().sid;
  AttemptRecord& record = records_.at(sid);
  const Digest hash = sha256(statement);
  const AttemptState state = verdict == Verdict::kCommit ? AttemptState::kVotedCommit : AttemptState::kVotedAbort;
  if (record.state == state && record.voted == hash) return Batch{};  // signed already: the same signature again
  const bool undecided = verdict == Verdict::kCommit ? record.state == AttemptState::kMasked
                                                     : record.state == AttemptState::kJoined || may_abort(record);
  if (!undecided) return refused("attempt " + short_hex(sid) + ": this member signed another outcome, or none is due");
  record.state = state;
  record.voted = hash;
  bind_to(cohort, record);
  return write(record);
}

Result<AttemptBook::LateVote> AttemptBook::vote_abort_late(const AttemptId& id, const VerifyKey& own) {
  const auto found = records_.find(id.sid);
  if (found == records_.end() || found->second.id != id || found->second.state == AttemptState::kAborted)
    return unexpected(ErrorCode::kNotFound, "this member was in no attempt " + short_hex(id.sid) + " that is open");
  AttemptRecord& record = found->second;
  // Nothing masked left, and its keys are gone: it can reveal nothing, nor ever sign a COMMIT.
  const bool lost_before = record.state == AttemptState::kJoined && !running(record);
  if (!lost_before && !may_abort(record) && record.state != AttemptState::kVotedAbort)
    return refused("attempt " + short_hex(id.sid) + ": this member signed another outcome");
  const auto self = std::find_if(record.committee.begin(), record.committee.end(), [&](const auto& one) { return one.second == own; });
  if (self == record.committee.end()) return refused("this member is not in the committee of attempt " + short_hex(id.sid));
  LateVote vote{{}, self->first};
  if (record.state == AttemptState::kVotedAbort) return vote;
  record.state = AttemptState::kVotedAbort;
  record.voted = sha256(abort_statement(id));
  vote.persist = write(record);
  return vote;
}

Result<Batch> AttemptBook::unmask(const Digest& sid) {
  AttemptRecord& record = records_.at(sid);
  if (record.state != AttemptState::kMasked && record.state != AttemptState::kVotedCommit)
    return refused("attempt " + short_hex(sid) + ": its shares left already, or it was voted to be aborted");
  record.state = AttemptState::kUnmasked;
  if (!record.complete) record.committee.clear();  // no ABORT can follow: both would need a common honest signer
  return write(record);
}

Result<Batch> AttemptBook::abort(const OutcomeMessage& outcome, PublicWork& work) {
  const auto found = records_.find(outcome.id.sid);
  if (found == records_.end() || !may_be_out(found->second))
    return unexpected(ErrorCode::kNotFound, "no masked attempt " + short_hex(outcome.id.sid) + " waits for an ABORT");
  AttemptRecord& record = found->second;
  if (outcome.verdict != Verdict::kAbort || outcome.id != record.id)
    return unexpected(ErrorCode::kInvalidMessage, "this is no ABORT of attempt " + short_hex(record.id.sid));
  COVEY_TRY_VOID(check_signatures(outcome, abort_statement(record.id), record.quorum, record.committee, work));
  record.state = AttemptState::kAborted;
  record.committee.clear();
  close(record.id.sid);
  return write(record);
}

const AttemptRecord* AttemptBook::find(const Digest& sid) const {
  const auto found = records_.find(sid);
  return found == records_.end() ? nullptr : &found->second;
}

Batch AttemptBook::write(const AttemptRecord& record) {
  Batch batch;
  batch.put(key_of(record.id.sid), encode(record));
  return batch;
}

}  // namespace covey
