// A client's part in the secure aggregation of one attempt: owns its SecAggClient and the book of all its
// attempts, and drives them within the pure client. Nothing that a step says leaves before its record is
// durable. An order to mask is held until the update is made. What was said is said again, byte for byte,
// when the message that asked for it comes again, after a new join, and while nothing answers it.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "client/outbox.h"
#include "client/presence.h"
#include "client/vouched.h"
#include "privacy/attempt_book.h"
#include "privacy/secagg_client.h"

namespace covey::client {

class SecurePart {
 public:
  using Kept = std::function<bool(const Digest& blob)>;  // does this client need the blob for something else?
  // All outlive this.
  SecurePart(const ClientConfig& config, ClientOutbox& out, const Presence& presence, const Vouched& vouched, Kept kept);
  ~SecurePart();

  static constexpr std::string_view kTable = kAttemptPrefix;
  Result<void> load(const Row& row);  // of that table
  // After every row. Errors: kCorrupted.
  Result<void> loaded();

  // Awaits this attempt's invitation. Gives why it cannot, if it cannot.
  std::optional<Decline> begin(const RoundOffer& offer, const JobSpec& job);
  // The list of withdrawn credentials is another: an attempt whose roster is not fixed yet goes by it too.
  void standing_changed();
  // Answers nothing more of the attempt and forgets its keys.
  void end();
  bool engaged() const { return attempt_ != nullptr; }
  bool engaged_in(const RoundKey& key) const;

  // The update is made: the order to mask is obeyed from now on.
  void update_made(Instant now);
  // The plan's vectors are a durable blob with this MaskedHash: the signed note that goes with it.
  Result<Bytes> masked(const Digest& hash, Instant now);
  void delivered();                           // the coordinator has them
  std::uint32_t members_max() const;  // of the attempt that was joined

  void on(const SecAggNote& note, Instant now);
  void on(const SecAggLetter& letter, Instant now);
  bool on(const Persisted& event);                 // these five: false: not one of its own
  bool on(const BlobFetched& event, Instant now);
  bool on(const BlobFailed& event);
  bool on(const WorkDone& event);
  bool on(const WorkFailed& event);
  bool on_timer(std::string_view name);            // false: not its own
  void rejoined();

  // Once: this member does not accept the invitation or the roster, or cannot go on after a restart, and why.
  std::optional<Decline> take_refusal();
  // Mask by this: its record is durable. Until masked(), so that masking may begin anew.
  const std::shared_ptr<const MaskPlan>& plan() const { return plan_; }

 private:
  struct Attempt;
  struct Question {                 // that is answered
    std::size_t kind = 0;           // of message
    Digest asked;                   // its hash
  };
  struct Waiting {                  // for its write
    Ticket write = 0;               // 0: none
    bool durable = false;
    Question to;
    std::vector<Bytes> messages;
    std::shared_ptr<const MaskPlan> plan;  // shared: with the work that masks
  };
  void receive(const RoundKey& key, const Bytes& content, Instant now);
  bool goes_on_without_keys(const SecAggMessage& message) const;
  void answer_again(Instant now, std::size_t kind);
  void obey(const Bytes& content, const SecAggMessage& message, Instant now);
  void forget_answer(std::size_t kind);
  void take(ClientStep step, const Question& to);
  void release();
  void say(const Question& to, const std::vector<Bytes>& messages);
  void say_again();
  void repeat();
  void of_another(const RoundKey& key, const SecAggMessage& message);
  void late_abort(const OutcomeMessage& outcome);
  void late_vote(const RoundKey& key, const AbortRequestMessage& request);
  void refused(const RoundKey& key, const Error& error);

  const ClientConfig& config_;
  ClientOutbox& out_;
  const Presence& presence_;
  const Vouched& vouched_;
  const Kept kept_;
  const std::shared_ptr<PublicWork> work_;  // shared: with other machines of a simulation
  std::vector<Row> rows_;                 // until loaded
  AttemptBook book_;
  std::unique_ptr<Attempt> attempt_;
  std::deque<Waiting> waiting_;           // in order
  std::set<Ticket> writes_;               // under way, of attempts that are over too
  std::map<Ticket, SecAggNote> late_votes_;  // by their write
  struct LetterIn {
    RoundKey key;
    Digest blob;
  };
  std::map<Ticket, LetterIn> letters_in_;
  struct LetterOut {
    RoundKey key;
    Question to;
  };
  std::map<Ticket, LetterOut> letters_out_;
  std::optional<Decline> refusal_;
  std::shared_ptr<const MaskPlan> plan_;
};

}  // namespace covey::client
