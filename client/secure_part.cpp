#include "client/secure_part.h"

#include <algorithm>

#include "core/protocol/exchanged.h"
#include "privacy/ring_encoder.h"
#include "privacy/round_terms.h"

namespace covey::client {
namespace {

constexpr const char* kAgainTimer = "aggregation";
constexpr Duration kAgain = std::chrono::seconds(1);       // doubles while nothing new comes
constexpr Duration kAgainMax = kHeartbeatInterval;
constexpr int kAgainTimes = 120;                           // ten minutes: the attempt is over, and nobody said so
constexpr std::size_t kLettersMax = 4;                     // being fetched at once

// The operator reads this text, and cannot know which jobs this client masked for. The remedy comes first:
// texts are cut at their end.
std::string with_remedy(const std::string& refusal, std::uint64_t seed) {
  if (refusal.find(kMaskedOutWords) == std::string::npos) return refusal;
  return "change `seed` in the job file (now " + std::to_string(seed) + ") if another job began with the same model: " + refusal;
}

}  // namespace

struct SecurePart::Attempt {
  RoundKey key;
  std::uint64_t seed = 0;                  // of the job
  EncodingTerms encoding;
  MemberCredential credential;             // as it was when the attempt began
  ClientPolicy policy;                     // the site's, with the authority's newest list
  std::unique_ptr<SecAggClient> machine;
  bool update_made = false;
  std::optional<Bytes> held_order;         // came before the update was made: the latest
  struct Answer {
    Digest asked;                          // the hash of what was accepted
    std::optional<Digest> asked_by;        // the blob, where that came as a letter
    std::vector<Bytes> messages;
    std::vector<Digest> letters;           // own blobs, erased with this
  };
  // By the kind of message that was accepted: whatever a coordinator asks, no more than the newest of each kind is kept.
  std::map<std::size_t, Answer> answers;
  std::vector<Message> said;               // last; again and again where the coordinator is to speak
  bool repeats = false;
  Duration again = kAgain;
  int times = 0;
  Instant answered_again;

  // Which kind's answer is to this. None: it was not asked, or something else was since.
  std::optional<std::size_t> answered(const Digest& asked) const {
    const auto found = std::find_if(answers.begin(), answers.end(), [&](const auto& one) { return one.second.asked == asked; });
    return found == answers.end() ? std::nullopt : std::optional(found->first);
  }
};

SecurePart::SecurePart(const ClientConfig& config, ClientOutbox& out, const Presence& presence,
                       const Vouched& vouched, Kept kept)
    : config_(config),
      out_(out),
      presence_(presence),
      vouched_(vouched),
      kept_(std::move(kept)),
      work_(config.public_work == nullptr ? std::make_shared<PublicWork>() : config.public_work) {}
SecurePart::~SecurePart() = default;

Result<void> SecurePart::load(const Row& row) {
  rows_.push_back(row);
  return {};
}

Result<void> SecurePart::loaded() {
  COVEY_TRY(book_, AttemptBook::load(rows_));
  rows_.clear();
  return {};
}

bool SecurePart::engaged_in(const RoundKey& key) const { return attempt_ != nullptr && attempt_->key == key; }

std::optional<Decline> SecurePart::begin(const RoundOffer& offer, const JobSpec& job) {
  if (config_.signing == nullptr || config_.random == nullptr)
    return Decline{DeclineReason::kPolicy, "this client runs without its signing key and takes part in no secure aggregation"};
  const MemberCredential* credential = vouched_.credential();
  if (credential == nullptr)  // its coordinator selected it for one: it may be on its way
    return Decline{DeclineReason::kBusy, "this client has no credential of the authority yet, which secure aggregation needs: "
                                         "the operator gives it one with `covey vouch NAME`"};
  auto vectors = secure_vectors(job, offer.kind, exchanged_size(job), 1);
  if (!vectors) return Decline{DeclineReason::kPolicy, vectors.error().message};
  end();
  attempt_ = std::make_unique<Attempt>();
  attempt_->key = offer.key;
  attempt_->seed = job.seed;
  attempt_->encoding = encoding_terms(job);
  attempt_->credential = *credential;
  attempt_->policy = config_.secure;
  attempt_->policy.epoch_min = std::max(config_.secure.epoch_min, vouched_.epoch_min());
  standing_changed();
  const SecAggMember member{*config_.signing, attempt_->credential, attempt_->policy, config_.has_aes};
  attempt_->machine = std::make_unique<SecAggClient>(member, terms_of(secure_round(offer), std::move(*vectors)), book_,
                                                     *work_, *config_.random);
  return std::nullopt;
}

void SecurePart::standing_changed() {
  if (attempt_) attempt_->policy.withdrawals = vouched_.withdrawals();
}

void SecurePart::end() {
  if (!attempt_) return;
  while (!attempt_->answers.empty()) forget_answer(attempt_->answers.begin()->first);
  for (const auto& [ticket, letter] : letters_in_) out_.add(CancelFetch{ticket});
  letters_in_.clear();
  waiting_.clear();  // what was never said stays unsaid; the records stand
  plan_.reset();
  refusal_.reset();
  attempt_.reset();
  out_.add(CancelTimer{kAgainTimer});
}

std::uint32_t SecurePart::members_max() const { return attempt_->machine->config().members_max; }

void SecurePart::update_made(Instant now) {
  if (!attempt_) return;
  attempt_->update_made = true;
  if (const auto order = std::exchange(attempt_->held_order, std::nullopt)) receive(attempt_->key, *order, now);
}

Result<Bytes> SecurePart::masked(const Digest& hash, Instant now) {
  if (!attempt_) return unexpected(ErrorCode::kInternal, "no secure aggregation waits for masked vectors");
  COVEY_TRY(ClientStep step, attempt_->machine->on_masked(hash, now));
  COVEY_CHECK(step.persist.empty() && step.messages.size() == 1);  // MASKED is durable since before the plan
  plan_.reset();
  return std::move(step.messages.front());
}

// ---- what the coordinator says

void SecurePart::on(const SecAggNote& note, Instant now) { receive(note.key, note.content, now); }

void SecurePart::on(const SecAggLetter& letter, Instant now) {
  const std::string size = std::to_string(letter.content.size);
  if (!engaged_in(letter.key))
    return refused(letter.key, {ErrorCode::kInvalidMessage, "a letter of an attempt that this client is not in"});
  if (letter.content.size == 0 || letter.content.size > kSecAggLetterBytesMax || letters_in_.size() >= kLettersMax)
    return refused(letter.key, {ErrorCode::kInvalidMessage, "a letter of " + size + " bytes: at most " +
                                                                std::to_string(kSecAggLetterBytesMax) + ", and " +
                                                                std::to_string(kLettersMax) + " at once"});
  if (kept_(letter.content.id))  // it would be erased once read
    return refused(letter.key, {ErrorCode::kInvalidMessage, "a letter that is a blob which this client keeps"});
  for (const auto& [kind, answer] : attempt_->answers)
    if (answer.asked_by == letter.content.id) return answer_again(now, kind);
  for (const auto& [coming, one] : letters_in_)
    if (one.blob == letter.content.id) return;
  const Ticket ticket = out_.ticket();
  letters_in_.emplace(ticket, LetterIn{letter.key, letter.content.id});
  out_.add(FetchBlob{ticket, out_.coordinator().peer, letter.content, Keep::kDurably, kSecAggLetterBytesMax});
}

bool SecurePart::on(const BlobFetched& event, Instant now) {
  const auto found = letters_in_.find(event.ticket);
  if (found == letters_in_.end()) return false;
  const RoundKey key = found->second.key;
  letters_in_.erase(found);
  out_.add(EraseBlob{event.blob.id});  // of this moment only
  receive(key, event.content, now);
  if (engaged_in(key))
    if (const auto kind = attempt_->answered(sha256(event.content))) attempt_->answers.at(*kind).asked_by = event.blob.id;
  return true;
}

bool SecurePart::on(const BlobFailed& event) {
  const auto found = letters_in_.find(event.ticket);
  if (found == letters_in_.end()) return false;
  refused(found->second.key, in_context("a letter", event.error));  // it is sent again
  letters_in_.erase(found);
  return true;
}

void SecurePart::receive(const RoundKey& key, const Bytes& content, Instant now) {
  const auto message = decode_secagg_message(content);
  if (!message) return refused(key, message.error());
  if (!engaged_in(key)) return of_another(key, *message);
  if (const auto kind = attempt_->answered(sha256(content))) return answer_again(now, *kind);
  if (goes_on_without_keys(*message)) {
    refusal_ = Decline{DeclineReason::kBusy, "this client was restarted, and its keys for this attempt were in memory only"};
    return;
  }
  if (std::holds_alternative<MaskOrderMessage>(*message) && !attempt_->update_made) {
    attempt_->held_order = content;
    attempt_->repeats = false;
    return;
  }
  obey(content, *message, now);
}

// The coordinator goes on with an attempt that this client joined in a life before: said at once, so that
// nobody waits for it until the deadline. Whatever ends the attempt is heard all the same.
bool SecurePart::goes_on_without_keys(const SecAggMessage& message) const {
  return attempt_->machine->phase() == SecAggClient::Phase::kInvited && !std::holds_alternative<InviteMessage>(message) &&
         !std::holds_alternative<AbortRequestMessage>(message) && !std::holds_alternative<OutcomeMessage>(message);
}

// Unless the answer is on its way: its write, its letter, or itself.
void SecurePart::answer_again(Instant now, std::size_t kind) {
  if (!waiting_.empty() || !letters_out_.empty() || now - attempt_->answered_again < kAgain / 2) return;
  attempt_->answered_again = now;
  const Attempt::Answer& answer = attempt_->answers.at(kind);
  say({kind, answer.asked}, answer.messages);
}

void SecurePart::obey(const Bytes& content, const SecAggMessage& message, Instant now) {
  const auto* invite = std::get_if<InviteMessage>(&message);
  if (invite != nullptr && attempt_->machine->phase() == SecAggClient::Phase::kInvited) {
    // What it goes by may be on its way here, or there: it is asked again soon.
    if (const auto stands = check_standing(invite->config, attempt_->policy); !stands) {
      refusal_ = Decline{DeclineReason::kBusy, stands.error().message};
      return;
    }
    // The sum must be fine enough whatever number of members was announced.
    if (const auto fits = ring_encoding(attempt_->encoding, invite->config.members_max); !fits) {
      refusal_ = Decline{DeclineReason::kPolicy, fits.error().message};
      return;
    }
  }
  const RoundKey key = attempt_->key;
  auto step = attempt_->machine->handle(content, now);
  if (step) return take(std::move(*step), {message.index(), sha256(content)});
  refused(key, step.error());
  if (invite != nullptr && attempt_->machine->phase() == SecAggClient::Phase::kInvited)
    refusal_ = Decline{DeclineReason::kPolicy, with_remedy(step.error().message, attempt_->seed)};
  const bool roster = std::holds_alternative<RosterMessage>(message) && attempt_->machine->phase() == SecAggClient::Phase::kJoined;
  if (roster && step.error().code == ErrorCode::kPermissionDenied) refusal_ = Decline{DeclineReason::kPolicy, step.error().message};
  // The next attempt goes by the newer list.
  if (roster && step.error().code == ErrorCode::kUnavailable) refusal_ = Decline{DeclineReason::kBusy, step.error().message};
  of_another(key, message);  // of an attempt before, perhaps
}

// The machine takes most messages once in an attempt; seeds it tells of any set of members, and of one after the other.
void SecurePart::forget_answer(std::size_t kind) {
  const auto known = attempt_->answers.find(kind);
  if (known == attempt_->answers.end()) return;
  for (const Digest& letter : known->second.letters) {
    out_.add(WithdrawBlob{letter});
    out_.add(EraseBlob{letter});
  }
  attempt_->answers.erase(known);
}

// Of an attempt that this client is no longer in: it may still help to abort it, and learn that it was.
void SecurePart::of_another(const RoundKey& key, const SecAggMessage& message) {
  if (const auto* request = std::get_if<AbortRequestMessage>(&message)) return late_vote(key, *request);
  const auto* outcome = std::get_if<OutcomeMessage>(&message);
  if (outcome != nullptr && outcome->verdict == Verdict::kAbort) late_abort(*outcome);
}

void SecurePart::late_abort(const OutcomeMessage& outcome) {
  auto batch = book_.abort(outcome, *work_);
  if (!batch) return out_.log(LogLevel::kDebug, "event_ignored", {{"message", "SecAggNote"}, {"reason", batch.error().message}});
  out_.log(LogLevel::kInfo, "aggregation_aborted", {{"sid", short_hex(outcome.id.sid)}});
  const Ticket ticket = out_.ticket();
  writes_.insert(ticket);
  out_.add(Persist{ticket, std::move(*batch)});
}

// Signed once, as in the attempt itself: the record says so before the vote leaves.
void SecurePart::late_vote(const RoundKey& key, const AbortRequestMessage& request) {
  if (config_.signing == nullptr) return;
  auto vote = book_.vote_abort_late(request.id, config_.signing->public_key());
  if (!vote) return out_.log(LogLevel::kDebug, "event_ignored", {{"message", "SecAggNote"}, {"reason", vote.error().message}});
  const VoteMessage message{request.id, Verdict::kAbort, vote->member,
                            config_.signing->sign(kOutcomeDomain, abort_statement(request.id))};
  SecAggNote note{key, encode(SecAggMessage(message))};
  if (vote->persist.empty()) {
    const bool under_way = std::any_of(late_votes_.begin(), late_votes_.end(), [&](const auto& one) { return one.second == note; });
    if (!under_way) out_.send(std::move(note));
    return;
  }
  const Ticket ticket = out_.ticket();
  writes_.insert(ticket);
  late_votes_.emplace(ticket, std::move(note));
  out_.add(Persist{ticket, std::move(vote->persist)});
}

void SecurePart::refused(const RoundKey& key, const Error& error) {
  out_.log(LogLevel::kWarning, "aggregation_message_refused", fields_of(key, error));
}

// ---- what this member says

void SecurePart::take(ClientStep step, const Question& to) {
  Waiting waiting;
  if (!step.persist.empty()) {
    waiting.write = out_.ticket();
    writes_.insert(waiting.write);
    out_.add(Persist{waiting.write, std::move(step.persist)});
  }
  waiting.durable = waiting.write == 0;
  waiting.to = to;
  waiting.messages = step.messages;
  if (step.mask) waiting.plan = std::make_shared<const MaskPlan>(std::move(*step.mask));
  forget_answer(to.kind);
  attempt_->answers.emplace(to.kind, Attempt::Answer{to.asked, std::nullopt, std::move(step.messages), {}});
  attempt_->repeats = false;
  waiting_.push_back(std::move(waiting));
  release();
}

bool SecurePart::on(const Persisted& event) {
  if (writes_.erase(event.ticket) == 0) return false;
  if (auto late = late_votes_.extract(event.ticket); !late.empty()) out_.send(std::move(late.mapped()));
  for (Waiting& waiting : waiting_)
    if (waiting.write == event.ticket) waiting.durable = true;
  release();
  return true;
}

void SecurePart::release() {
  while (!waiting_.empty() && waiting_.front().durable) {
    const Waiting ready = std::move(waiting_.front());
    waiting_.pop_front();
    if (ready.plan) plan_ = ready.plan;
    say(ready.to, ready.messages);
    // Also where it agreed without a vote: what comes next may be lost on its way here.
    if (!ready.plan) repeat();
  }
}

// What is said again is answered with what the attempt's phase has for this member.
void SecurePart::repeat() {
  attempt_->repeats = true;
  attempt_->again = kAgain;
  attempt_->times = 0;
  out_.add(SetTimer{kAgainTimer, attempt_->again});
}

void SecurePart::delivered() {
  if (attempt_) repeat();
}

void SecurePart::say(const Question& to, const std::vector<Bytes>& messages) {
  if (messages.empty()) return;
  attempt_->said.clear();
  for (const Bytes& content : messages) {
    if (content.size() > kSecAggNoteBytesMax) {
      const Ticket ticket = out_.ticket();
      letters_out_.emplace(ticket, LetterOut{attempt_->key, to});
      out_.add(StartWork{ticket, PutBlob{content}});
    } else {
      attempt_->said.push_back(SecAggNote{attempt_->key, content});
    }
  }
  say_again();
}

void SecurePart::say_again() {
  if (!presence_.joined()) return;
  for (const Message& message : attempt_->said) out_.send(message);
}

bool SecurePart::on(const WorkDone& event) {
  const auto found = letters_out_.find(event.ticket);
  if (found == letters_out_.end()) return false;
  const LetterOut letter = found->second;
  const RoundKey key = letter.key;
  letters_out_.erase(found);
  const BlobRef blob = std::get<BlobPut>(event.value).blob;
  if (!engaged_in(key) || attempt_->answered(letter.to.asked) != letter.to.kind) {
    out_.add(EraseBlob{blob.id});  // nobody waits for it any more
    return true;
  }
  std::vector<Digest>& letters = attempt_->answers.at(letter.to.kind).letters;
  if (std::find(letters.begin(), letters.end(), blob.id) == letters.end()) letters.push_back(blob.id);
  out_.add(PublishBlob{blob.id, out_.coordinator().peer});
  attempt_->said.push_back(SecAggLetter{key, blob});
  say_again();
  repeat();
  return true;
}

bool SecurePart::on(const WorkFailed& event) {
  const auto found = letters_out_.find(event.ticket);
  if (found == letters_out_.end()) return false;
  refused(found->second.key, in_context("a letter could not be kept", event.error));
  letters_out_.erase(found);
  return true;
}

bool SecurePart::on_timer(std::string_view name) {
  if (name != kAgainTimer) return false;
  if (!attempt_ || !attempt_->repeats || ++attempt_->times > kAgainTimes) return true;
  say_again();
  attempt_->again = std::min(attempt_->again * 2, kAgainMax);
  out_.add(SetTimer{kAgainTimer, attempt_->again});
  return true;
}

void SecurePart::rejoined() {
  if (!attempt_ || !attempt_->repeats) return;
  say_again();
  repeat();
}

std::optional<Decline> SecurePart::take_refusal() { return std::exchange(refusal_, std::nullopt); }

}  // namespace covey::client
