#include "coordinator/key_keeper.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;

Unexpected busy(const std::string& why) { return unexpected(ErrorCode::kUnavailable, why); }

std::string ports_text(const KeyPlace& place) {
  return std::to_string(place.control_port) + " and " + std::to_string(place.bulk_port);
}

}  // namespace

KeyKeeper::KeyKeeper(Config config, Outbox& out, Journal& journal, RecordBook& records, Registry& registry)
    : config_(std::move(config)), out_(out), journal_(journal), records_(records), registry_(registry) {}

// ---- rows

namespace {

struct ChangeRow {
  KeyChange change;
  bool over = false;
};

Result<ChangeRow> decode_row(ByteSpan row) {
  ByteReader in(row);
  if (in.u8() != kVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  const bool over = in.boolean();
  COVEY_TRY_VOID(in.finish("key change"));
  auto change = decode_key_change(encoded);
  if (!change) return unexpected(ErrorCode::kCorrupted, change.error().message);
  return ChangeRow{*std::move(change), over};
}

}  // namespace

Result<std::uint64_t> retired_key_change(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    if (row.key != kKeyChangeRow) continue;
    COVEY_TRY(const ChangeRow read, decode_row(row.value));
    return read.over ? read.change.serial : 0;
  }
  return std::uint64_t{0};
}

Result<void> KeyKeeper::load(ByteSpan row) {
  COVEY_TRY(ChangeRow read, decode_row(row));
  if (const auto ours = verify(read.change, config_.authority, config_.record); !ours)
    return unexpected(ErrorCode::kCorrupted, ours.error().message);
  change_ = std::move(read.change);
  retired_ = read.over;
  return {};
}

Result<void> KeyKeeper::load_served(ByteSpan row) {
  ByteReader in(row);
  if (in.u8() != kVersion) in.refuse();
  counted_serial_ = in.u64();
  const std::uint64_t due = in.u64(), served = in.u64();
  const std::uint64_t most = static_cast<std::uint64_t>(Duration(kOverlapMax + kClockSlack).count());
  if (due > most || served > 2 * most) in.refuse();
  COVEY_TRY_VOID(in.finish("time that both keys were served"));
  due_ = Duration(static_cast<Duration::rep>(due));
  served_ = stored_ = Duration(static_cast<Duration::rep>(served));
  return {};
}

Result<void> KeyKeeper::check_loaded() const {
  if (!change_ || !config_.keys) return {};
  const std::uint64_t kept = config_.keys->newest ? config_.keys->newest->serial : 0;
  if (kept >= change_->serial) return {};
  return unexpected(ErrorCode::kCorrupted, "row " + std::string(kKeyChangeRow) + ": the key change " + std::to_string(change_->serial) +
                                               " is not in key-changes/ of the coordinator's folder; restore its keys from a later copy");
}

void KeyKeeper::put_row(Batch& batch) const {
  batch.put(std::string(kKeyChangeRow), ByteWriter().u8(kVersion).blob(encode(*change_)).boolean(retired_).take());
}

void KeyKeeper::put_served(Batch& batch) {
  stored_ = served_;
  batch.put(std::string(kKeyServedRow), ByteWriter().u8(kVersion).u64(counted_serial_).u64(static_cast<std::uint64_t>(due_.count()))
                                            .u64(static_cast<std::uint64_t>(served_.count())).take());
}

// ---- time

// Within one process time only goes on: its clock is the machine's at its start (core/base/clock.h).
void KeyKeeper::count_served(Instant now) {
  if (counted_serial_ != change_->serial) {  // of a version that did not count
    counted_serial_ = change_->serial;
    due_ = served_ = stored_ = Duration{};
  }
  if (counted_at_ && now > *counted_at_) served_ = std::min(served_ + (now - *counted_at_), due_ + kServedStored);
  counted_at_ = now;
  if (served_ - stored_ < kServedStored) return;
  Batch batch;
  put_served(batch);
  out_.persist(std::move(batch));
}

// A crash may have come between the folder and our row, or an older store was restored.
void KeyKeeper::start(Instant now) {
  if (config_.keys && config_.keys->newest && (!change_ || change_->serial < config_.keys->newest->serial))
    adopt(*config_.keys->newest, PeerKey{}, now);
  tick(now);
}

void KeyKeeper::tick(Instant now) {
  if (lasts()) count_served(now);
  if (lasts() && over(now) && doing_ == Doing::kNothing) retire(now);
  if (lasts() && (now - told_ >= kTellAgain || now < told_)) tell_all(now);
  if (prepared_ && doing_ == Doing::kNothing && now - prepared_->since >= kPreparedMax) drop_prepared();
}

void KeyKeeper::drop_prepared() {
  if (!prepared_) return;
  out_.now(DropKey{prepared_->place.key});
  prepared_.reset();
}

// ---- telling

void KeyKeeper::tell(const PeerKey& node) {
  if (!lasts()) return;
  const Node* found = registry_.find(node);
  if (found != nullptr && found->link) out_.send(*found->link, KeyChanged{*change_});
}

void KeyKeeper::tell_operator(const Link& to) {
  if (lasts()) out_.send(to, KeyChanged{*change_});
}

void KeyKeeper::tell_all(Instant now) {
  told_ = now;
  for (const auto& [key, node] : registry_.nodes()) tell(key);
}

// ---- the next key

void KeyKeeper::reply(OperatorAnswer answer) {
  if (!asked_) return;
  if (auto* error = std::get_if<Error>(&answer)) error->message = shortened(std::move(error->message), kErrorTextBytesMax);
  out_.send(asked_->from, OperatorReply{asked_->id, std::move(answer)});
  asked_.reset();
}

Result<void> KeyKeeper::judge_preparation(const PrepareKey& verb) const {
  if (!config_.keys) return unexpected(ErrorCode::kUnsupported, "this coordinator runs where its key cannot be changed");
  if (lasts())
    return busy("the key was changed already (number " + std::to_string(change_->serial) + "), and the key before it is served until " +
                iso8601(change_->old_until) + "; a second change can follow when that is over");
  if (doing_ != Doing::kNothing) return busy("a change of the key is being prepared or ended; try again");
  if (verb.control_port == 0 || verb.bulk_port == 0 || verb.control_port == verb.bulk_port)
    return unexpected(ErrorCode::kInvalidArgument, "ports " + std::to_string(verb.control_port) + " and " +
                                                       std::to_string(verb.bulk_port) +
                                                       " for the next key: name two different ones from 1 to 65535");
  return {};
}

void KeyKeeper::prepare(const Link& from, std::uint64_t id, const PrepareKey& verb) {
  // Asked again, by somebody who lost the answer: whoever asked last gets it.
  const bool same = doing_ != Doing::kNothing && (doing_ == Doing::kMaking || doing_ == Doing::kServing) && wanted_ == verb;
  if (same) {
    asked_ = Asked{from, id};
    return;
  }
  const auto judged = judge_preparation(verb);
  const bool waits = asked_.has_value();
  if (!judged && waits) return out_.send(from, OperatorReply{id, judged.error()});
  asked_ = Asked{from, id};
  if (!judged) return reply(judged.error());
  wanted_ = verb;
  doing_ = Doing::kMaking;
  ticket_ = out_.next_ticket();
  out_.now(StartWork{ticket_, RotateKey{KeyStep::kMake, {}}});
}

// Before anyone relies on it: ports that are taken are said to the operator, and nothing has changed.
void KeyKeeper::serve(const KeyPlace& place) {
  if (prepared_ && prepared_->place != place) drop_prepared();
  serving_ = place;
  doing_ = Doing::kServing;
  ticket_ = out_.next_ticket();
  out_.now(ServeKey{ticket_, place});
}

// ---- the change

Result<void> KeyKeeper::judge_change(const KeyChange& change, Instant now) const {
  COVEY_TRY_VOID(verify(change, config_.authority, config_.record));
  if (!config_.keys) return unexpected(ErrorCode::kUnsupported, "this coordinator runs where its key cannot be changed");
  const std::uint64_t newest = change_ ? change_->serial : 0;
  if (change.serial <= newest)
    return unexpected(ErrorCode::kAlreadyExists, "the key change has the serial " + std::to_string(change.serial) + ", and number " +
                                                     std::to_string(newest) + " is here already; make a new one with `covey rotate-key`");
  if (lasts()) return busy("the key before change " + std::to_string(newest) + " is served until " + iso8601(change_->old_until));
  if (doing_ != Doing::kNothing) return busy("a change of the key is being prepared or kept; try again");
  if (change.before.key != config_.keys->current)
    return unexpected(ErrorCode::kInvalidArgument, "the key change is from " + short_hex(change.before.key) + ", and this coordinator's key is " +
                                                       short_hex(config_.keys->current) + "; make a new one with `covey rotate-key`");
  if (!prepared_ || prepared_->place != change.after)
    return unexpected(ErrorCode::kInvalidArgument, "the key " + short_hex(change.after.key) + " at ports " + ports_text(change.after) +
                                                       " is not prepared here; run `covey rotate-key` again");
  if (change.old_until <= now || change.old_until > now + kOverlapMax + kClockSlack)
    return unexpected(ErrorCode::kInvalidArgument, "the key before would be served until " + iso8601(change.old_until) +
                                                       ": must lie after now, " + iso8601(now) + ", and within 90 days; name another --overlap");
  return {};
}

void KeyKeeper::register_change(const Link& from, std::uint64_t id, const KeyChange& change, Instant now) {
  const auto answer = [&](OperatorAnswer said) {
    if (auto* error = std::get_if<Error>(&said)) error->message = shortened(std::move(error->message), kErrorTextBytesMax);
    out_.send(from, OperatorReply{id, std::move(said)});
  };
  if (change_ == change) return answer(Done{"key change " + std::to_string(change.serial) + " is registered already"});
  if (doing_ == Doing::kKeeping && keeping_ == change) {
    asked_ = Asked{from, id};
    return;
  }
  if (const auto judged = judge_change(change, now); !judged) return answer(judged.error());
  keeping_ = change;
  asked_ = Asked{from, id};
  doing_ = Doing::kKeeping;
  ticket_ = out_.next_ticket();
  out_.now(StartWork{ticket_, RotateKey{KeyStep::kKeep, change}});
}

void KeyKeeper::adopt(const KeyChange& change, const PeerKey& by, Instant now) {
  const std::string until = iso8601(change.old_until);
  change_ = change;
  retired_ = false;
  prepared_.reset();
  counted_serial_ = change.serial;
  // Found beside the coordinator, it says itself for how long: this start's clock may be wrong.
  const Duration overlap = change.old_until - (by == PeerKey{} ? change.not_before : now);
  due_ = std::clamp<Duration>(overlap, Duration{}, kOverlapMax + kClockSlack);
  served_ = Duration{};
  counted_at_ = now;
  Batch batch;
  put_row(batch);
  put_served(batch);
  journal_.write(batch, now, 0, "the key changes to " + short_hex(change.after.key) + " at ports " + ports_text(change.after) +
                                    "; " + short_hex(change.before.key) + " is served until " + until);
  AuditEntry act;
  act.kind = AuditKind::kKeyChanged;
  act.time = now;
  act.actor = by;
  act.who = change.after.key;
  act.number = change.serial;
  act.text = "ports " + ports_text(change.after) + ", " + short_hex(change.before.key) + " until " + until;
  records_.persist(std::move(batch), {std::move(act)});
  out_.log(LogLevel::kInfo, "key_changed",
           {{"key", short_hex(change.after.key)}, {"before", short_hex(change.before.key)}, {"serial", change.serial},
            {"control_port", change.after.control_port}, {"bulk_port", change.after.bulk_port}, {"until", until}});
  tell_all(now);
}

void KeyKeeper::retire(Instant now) {
  retired_ = true;
  counted_at_.reset();
  Batch batch;
  put_row(batch);
  batch.erase(std::string(kKeyServedRow));
  journal_.write(batch, now, 0, "the key " + short_hex(change_->before.key) + " is no longer served");
  AuditEntry act;
  act.kind = AuditKind::kKeyRetired;
  act.time = now;
  act.who = change_->before.key;
  act.number = change_->serial;
  records_.persist(std::move(batch), {std::move(act)});
  out_.log(LogLevel::kInfo, "key_retired", {{"key", short_hex(change_->before.key)}, {"serial", change_->serial}});
  out_.after(DropKey{change_->before.key});
  if (!config_.keys) return;
  config_.keys->current = change_->after.key;
  doing_ = Doing::kRetiring;
  ticket_ = out_.next_ticket();
  out_.after(StartWork{ticket_, RotateKey{KeyStep::kRetire, *change_}});
}

// ---- events

bool KeyKeeper::work_done(const WorkDone& event, Instant now) {
  if (doing_ == Doing::kNothing || event.ticket != ticket_) return false;
  switch (std::exchange(doing_, Doing::kNothing)) {
    case Doing::kMaking: {
      const KeyPlace place{std::get<KeyRotated>(event.value).key, wanted_.control_port, wanted_.bulk_port};
      serve(place);
      break;
    }
    case Doing::kServing:
      prepared_ = Prepared{serving_, now};
      reply(KeyPrepared{config_.keys->current, serving_.key, change_ ? change_->serial : 0});
      break;
    case Doing::kKeeping: {
      const PeerKey by = asked_ ? asked_->from.peer : PeerKey{};
      adopt(keeping_, by, now);
      reply(Done{"the key changes to " + short_hex(keeping_.after.key) + "; both are served until " + iso8601(keeping_.old_until)});
      break;
    }
    case Doing::kRetiring:
    case Doing::kNothing: break;
  }
  return true;
}

bool KeyKeeper::work_failed(const WorkFailed& event) {
  if (doing_ == Doing::kNothing || event.ticket != ticket_) return false;
  const Doing was = std::exchange(doing_, Doing::kNothing);
  // The next start erases it; it is served no more.
  if (was == Doing::kRetiring)
    out_.log(LogLevel::kError, "key_not_erased", {{"key", short_hex(change_->before.key)}, {"reason", event.error.message}});
  if (was == Doing::kServing) prepared_.reset();
  reply(in_context("the key was not changed", event.error));
  return true;
}

}  // namespace covey
