// What members say to an attempt, as notes and as letters. See secure_attempt.h.
#include <algorithm>

#include "coordinator/secure_attempt.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

constexpr std::uint64_t kLetterBytesBase = 4096, kLetterBytesPerMember = 256;  // the longest message of a member's

Unexpected refusal(const std::string& why) {
  return unexpected(ErrorCode::kPermissionDenied, "secure aggregation refused: " + why);
}

}  // namespace

// Each member speaks for itself alone: what is signed by another is taken from that one only.
Result<void> SecureAttempt::check_speaker(const PeerKey& peer, const SecAggMessage& message) const {
  if (const auto* join = std::get_if<JoinMessage>(&message)) {
    const Node* node = parts_.registry.find(peer);
    if (node == nullptr || !parts_.registry.vouched(*node) || *node->credential != join->entry.credential)
      return refusal("the join is not with this client's credential");
    return {};
  }
  const auto member = std::visit(
      [](const auto& m) -> std::optional<std::uint32_t> {
        if constexpr (requires { m.member; m.signature; }) return m.member;
        return std::nullopt;
      },
      message);
  if (!member || std::holds_alternative<MaskedMessage>(message)) return refusal("no client sends such a message by itself");
  if (place_of(peer) != *member) return refusal("the message is of another member");
  return {};
}

Result<SecureAttempt::Heard> SecureAttempt::heard(const PeerKey& peer, const Bytes& content, Instant now) {
  latest_ = now;
  const auto take = [&]() -> Result<Heard> {
    COVEY_TRY(const SecAggMessage message, decode_secagg_message(content));
    COVEY_TRY_VOID(check_speaker(peer, message));
    const bool certain = certificate().has_value();
    Heard heard;
    auto answers = server_->handle(content);
    const auto* join = std::get_if<JoinMessage>(&message);
    if (!answers && join != nullptr) judge_join(peer, *join, answers.error());
    COVEY_TRY(heard.answers, std::move(answers));
    if (join != nullptr) subjects_[join->entry.credential.subject] = peer;
    // Its machine said this, so its keys are with this process; but a vote for ABORT takes none.
    const auto* vote = std::get_if<VoteMessage>(&message);
    if (const Node* node = parts_.registry.find(peer); node != nullptr && (vote == nullptr || vote->verdict == Verdict::kCommit))
      instances_[peer] = node->instance;
    if (!certain && certificate()) {  // it has the votes in it
      heard.rows.put(outcome_key(key_), secagg_value(encode(SecAggMessage(*certificate()))));
      erase_votes(heard.rows);
      votes_.clear();
    } else if (vote != nullptr && !certain && votes_.insert(peer).second) {
      heard.rows.put(vote_key(key_, peer), secagg_value(content));
    }
    if (std::holds_alternative<UnmaskMessage>(message) && phase() == Phase::kUnmasking) {
      heard.rows.put(unmask_key(key_, peer), secagg_value(content));
      unmasks_.insert(peer);
    }
    heard.again = certain && vote != nullptr;
    heard.opens = std::holds_alternative<UnmaskMessage>(message) || std::holds_alternative<PairSeedsMessage>(message);
    return heard;
  };
  auto taken = take();
  if (!taken) refused(peer, taken.error(), now);
  return taken;
}

// One that was said again, or for an attempt before this one, is no fault. check_speaker() found it to be of its own
// credential, so of the keys in it only this member can have made what is wrong with them.
void SecureAttempt::judge_join(const PeerKey& peer, const JoinMessage& join, const Error& error) {
  if (phase() == Phase::kJoining && join.sid == sid_ && error.code == ErrorCode::kInvalidMessage) unfit_.emplace(peer, error.message);
}

void SecureAttempt::answer(const PeerKey& peer, const Heard& heard, Instant now) {
  if (phase() != Phase::kUnmasking || may_reveal()) send(heard.answers);
  // The sender of a vote that is not needed any more is ready for the certificate.
  if (heard.again && now - told_[peer] >= kToldAgain) tell(peer, now);
}

// A message that was said again, or came late, is no fault; its sender may have missed what came after.
void SecureAttempt::refused(const PeerKey& peer, const Error& error, Instant now) {
  const auto told = told_.find(peer);
  if (told == told_.end() || now - told->second >= kToldAgain) tell(peer, now);
  if (error.code == ErrorCode::kAlreadyExists || !parts_.registry.may_log_refusal(peer, now)) return;
  parts_.out.log(LogLevel::kWarning, "secagg_refused",
                 {{"job", key_.job}, {"round", key_.round}, {"attempt", key_.attempt},
                  {"node", parts_.registry.name_of(peer)}, {"phase", phase_name()}, {"reason", error.message}});
}

// One that was read is said again until something follows: it is answered as any repetition, and not fetched again.
void SecureAttempt::letter(const PeerKey& peer, const BlobRef& content, Instant now) {
  latest_ = now;
  const auto refuse = [&](ErrorCode code, const std::string& why) {
    refused(peer, Error{code, "secure aggregation refused: " + why}, now);
  };
  if (!seated(peer)) return refuse(ErrorCode::kPermissionDenied, "a letter of a client that is not in the roster");
  const std::uint64_t most = std::min<std::uint64_t>(kLetterBytesBase + kLetterBytesPerMember * members_max(), kSecAggLetterBytesMax);
  std::set<BlobRef>& from = letters_from_[peer];
  for (const auto& [ticket, coming] : letters_in_)
    if (coming.first == peer && coming.second == content) return;  // it is on its way
  if (letters_read_.contains({peer, content})) return refuse(ErrorCode::kAlreadyExists, "the letter came again");
  if (content.size > most || (from.size() >= kLettersInMax && !from.contains(content)))
    return refuse(ErrorCode::kInvalidMessage,
                  "a letter of " + std::to_string(content.size) + " bytes, after " + std::to_string(from.size()) +
                      " others of this client; at most " + std::to_string(most) + " bytes and " + std::to_string(kLettersInMax) +
                      " letters are taken");
  from.insert(content);
  parts_.blobs.hold(content.id);
  const Ticket ticket = parts_.out.next_ticket();
  letters_in_[ticket] = {peer, content};
  FetchBlob fetch{ticket, peer, content, Keep::kUnfinished};
  fetch.content_bytes_max = content.size;
  parts_.out.now(std::move(fetch));
}

// ---- events

bool SecureAttempt::work_done(const WorkDone& event) {
  for (auto& [id, letter] : letters_) {
    if (letter.putting != event.ticket) continue;
    letter.putting = 0;
    for (const PeerKey& peer : std::exchange(letter.waiting, {})) deliver(letter, peer);
    return true;
  }
  return false;
}

bool SecureAttempt::work_failed(const WorkFailed& event) {
  const auto at = std::find_if(letters_.begin(), letters_.end(), [&](const auto& entry) { return entry.second.putting == event.ticket; });
  if (at == letters_.end()) return false;
  parts_.out.log(LogLevel::kWarning, "secagg_letter_not_stored",
                 {{"job", key_.job}, {"round", key_.round}, {"attempt", key_.attempt}, {"bytes", at->second.blob.size},
                  {"reason", event.error.message}});
  parts_.blobs.drop(at->first);  // who asks again is told again
  letters_.erase(at);
  return true;
}

std::optional<PeerKey> SecureAttempt::letter_came(const BlobFetched& event) {
  const auto at = letters_in_.find(event.ticket);
  if (at == letters_in_.end()) return std::nullopt;
  const auto [peer, blob] = at->second;
  letters_in_.erase(at);
  parts_.blobs.drop(blob.id);
  letters_read_.insert({peer, blob});
  return peer;
}

bool SecureAttempt::blob_failed(const BlobFailed& event) {
  const auto at = letters_in_.find(event.ticket);
  if (at == letters_in_.end()) return false;
  parts_.blobs.drop(at->second.second.id);
  letters_in_.erase(at);  // it is said again
  return true;
}

}  // namespace covey
