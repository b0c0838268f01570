// The life of a change of the coordinator's CURVE key, which it outlives as who it is:
//   asked for -> the next key is made and served on ports of its own -> the authority's signature comes
//   -> kept beside the keys -> durable with its audit record -> told to every node, and after each join
//   -> its end: the key before is no longer served, and erased.
// A restart goes on from what is kept beside the keys; before that there is nothing to go on from.
//
// Nodes that were away find the key before for the whole overlap: it ends when the clock says so and both keys have
// been served for as long, which is counted while the process runs and kept in a row. A machine that starts with a
// wrong clock shuts nobody out.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "coordinator/registry.h"

namespace covey {

// What the folder beside the machine holds; its driver serves these keys from the start.
struct TransportKeys {
  PeerKey current;                  // while a change lasts, the key before it
  std::optional<KeyChange> newest;  // kept beside the keys
};

inline constexpr Duration kPreparedMax = std::chrono::minutes(10);  // a next key that nobody has signed for
inline constexpr Duration kServedStored = std::chrono::minutes(10);  // between two writes of how long both keys were served
inline constexpr Duration kTellAgain = std::chrono::hours(1);       // nodes that a message may not have reached

class KeyKeeper {
 public:
  struct Config {
    VerifyKey authority;
    VerifyKey record;                   // which names this coordinator
    std::optional<TransportKeys> keys;  // none: a driver whose key cannot change
  };
  KeyKeeper(Config config, Outbox& out, Journal& journal, RecordBook& records, Registry& registry);  // all outlive this

  Result<void> load(ByteSpan row);     // of kKeyChangeRow; errors: kCorrupted
  Result<void> load_served(ByteSpan row);  // of kKeyServedRow; errors: kCorrupted
  Result<void> check_loaded() const;   // that the folder is not older than the row

  void start(Instant now);
  void tick(Instant now);
  void tell(const PeerKey& node);      // it joined, or its link is new
  void tell_operator(const Link& to);  // before a reply: an operator need not join

  // ---- verbs of an authorised operator; each is answered when it is done
  void prepare(const Link& from, std::uint64_t id, const PrepareKey& verb);
  void register_change(const Link& from, std::uint64_t id, const KeyChange& change, Instant now);

  // ---- events; false: not ours
  bool work_done(const WorkDone& event, Instant now);
  bool work_failed(const WorkFailed& event);

 private:
  struct Asked {
    Link from;
    std::uint64_t id = 0;
  };
  enum class Doing { kNothing, kMaking, kServing, kKeeping, kRetiring };
  struct Prepared {
    KeyPlace place;
    Instant since;
  };
  bool lasts() const { return change_ && !retired_; }
  void reply(OperatorAnswer answer);
  void serve(const KeyPlace& place);
  void drop_prepared();
  Result<void> judge_preparation(const PrepareKey& verb) const;
  Result<void> judge_change(const KeyChange& change, Instant now) const;
  void adopt(const KeyChange& change, const PeerKey& by, Instant now);
  void retire(Instant now);
  void tell_all(Instant now);
  void put_row(Batch& batch) const;
  void put_served(Batch& batch);
  void count_served(Instant now);
  bool over(Instant now) const { return now >= change_->old_until && served_ >= due_; }

  Config config_;
  Outbox& out_;
  Journal& journal_;
  RecordBook& records_;
  Registry& registry_;
  std::optional<KeyChange> change_;     // the newest
  bool retired_ = false;                // it is over
  std::uint64_t counted_serial_ = 0;    // the change that these are of
  Duration due_{};                      // for how long both keys are to be served
  Duration served_{};                   // so far
  Duration stored_{};                   // of that, durable
  std::optional<Instant> counted_at_;   // by this process
  std::optional<Prepared> prepared_;    // served, and told to an operator
  Doing doing_ = Doing::kNothing;
  Ticket ticket_ = 0;                   // of what is being done
  std::optional<Asked> asked_;          // who waits for it
  PrepareKey wanted_;                   // while kMaking
  KeyPlace serving_;                    // while kServing
  KeyChange keeping_;                   // while kKeeping
  Instant told_;
};

inline constexpr std::string_view kKeyChangeRow = "keychange";  // u8 version; bytes KeyChange; boolean: it is over
inline constexpr std::string_view kKeyServedRow = "keyserved";  // u8 version; u64 serial; u64 due, served: ns
// The serial of the newest change, where its end is durable; 0: none is. Errors: kCorrupted.
Result<std::uint64_t> retired_key_change(const std::vector<Row>& rows);

}  // namespace covey
