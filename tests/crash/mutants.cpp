#include "tests/crash/mutants.h"

#include <algorithm>
#include <array>
#include <map>

#include "coordinator/tables.h"
#include "privacy/attempt_book.h"

namespace covey::crash {
namespace {

constexpr auto kNames = std::to_array<std::pair<Mutant, const char*>>({
    {Mutant::kNone, "none"},
    {Mutant::kToldBeforeWrite, "told_before_write"},
    {Mutant::kAckBeforeRow, "ack_before_row"},
    {Mutant::kRowBeforeBlob, "row_before_blob"},
    {Mutant::kReleaseBeforeCommit, "release_before_commit"},
    {Mutant::kTornBatch, "torn_batch"},
    {Mutant::kLedgerApart, "ledger_apart"},
    {Mutant::kForgetfulRestart, "forgetful_restart"},
    {Mutant::kGreedySweep, "greedy_sweep"},
    {Mutant::kCountedTwice, "counted_twice"},
    {Mutant::kLateLeftOut, "left_out"},
    {Mutant::kOrderBeforeRow, "order_before_row"},
    {Mutant::kOutcomeForgotten, "outcome_forgotten"},
    {Mutant::kMaskedBeforeRecord, "masked_before_record"},
    {Mutant::kVoteBeforeRecord, "vote_before_record"},
});

// The write follows when the next one is asked for, or at the end: a crash between loses it.
class EarlyExecutor final : public Executor {
 public:
  explicit EarlyExecutor(std::unique_ptr<Executor> inner) : inner_(std::move(inner)) {}
  ~EarlyExecutor() override { flush(); }
  void persist(Persist command, Completion done) override {
    flush();
    done(Persisted{command.ticket});
    held_ = std::move(command);
  }
  void start(StartWork command, Completion done) override { inner_->start(std::move(command), std::move(done)); }
  void cancel(Ticket ticket) override { inner_->cancel(ticket); }

 private:
  void flush() {
    if (held_) inner_->persist(std::move(*held_), [](const Event&) {});
    held_.reset();
  }
  std::unique_ptr<Executor> inner_;
  std::optional<Persist> held_;
};

// The same of single batches, which wait until one of the same table comes: a crash before that loses them.
class HoldingExecutor final : public Executor {
 public:
  HoldingExecutor(Mutant mutant, std::unique_ptr<Executor> inner) : mutant_(mutant), inner_(std::move(inner)) {}
  ~HoldingExecutor() override { flush(); }
  void persist(Persist command, Completion done) override {
    if (!touches(command.batch)) return inner_->persist(std::move(command), std::move(done));
    flush();
    if (!early(command.batch)) return inner_->persist(std::move(command), std::move(done));
    done(Persisted{command.ticket});
    held_ = std::move(command);
  }
  void start(StartWork command, Completion done) override { inner_->start(std::move(command), std::move(done)); }
  void cancel(Ticket ticket) override { inner_->cancel(ticket); }

 private:
  static bool any_of(const Batch& batch, std::string_view table) {
    return std::any_of(batch.puts.begin(), batch.puts.end(), [&](const Put& put) { return put.key.starts_with(table); });
  }
  // Of the coordinator any batch: its rows are written in order.
  bool touches(const Batch& batch) const { return mutant_ == Mutant::kOrderBeforeRow || any_of(batch, kAttemptPrefix); }
  bool early(const Batch& batch) const {
    if (mutant_ == Mutant::kOrderBeforeRow) return any_of(batch, "mask/");
    return std::any_of(batch.puts.begin(), batch.puts.end(), [&](const Put& put) {
      const auto record = put.key.starts_with(kAttemptPrefix) ? decode_attempt_record(put.value) : Result<AttemptRecord>(unexpected(ErrorCode::kNotFound, ""));
      if (!record) return false;
      const bool votes = record->state == AttemptState::kVotedCommit || record->state == AttemptState::kVotedAbort;
      return mutant_ == Mutant::kVoteBeforeRecord ? votes : record->state == AttemptState::kMasked;
    });
  }
  void flush() {
    if (held_) inner_->persist(std::move(*held_), [](const Event&) {});
    held_.reset();
  }

  Mutant mutant_;
  std::unique_ptr<Executor> inner_;
  std::optional<Persist> held_;
};

class MutantMachine final : public Machine {
 public:
  MutantMachine(Mutant mutant, std::unique_ptr<Machine> inner) : mutant_(mutant), inner_(std::move(inner)) {}

  Commands handle(const Event& event, Instant now) override {
    if (const auto* received = std::get_if<Received>(&event)) links_[received->from.peer] = received->from;
    Commands commands;
    for (Command& command : inner_->handle(event, now)) {
      Commands more;
      if (const auto* persist = std::get_if<Persist>(&command)) more = ahead_of(persist->batch);
      if (const auto* send = std::get_if<Send>(&command))
        if (const auto* offer = std::get_if<RoundOffer>(&send->message)) offered(offer->key, send->to);
      if (auto* work = std::get_if<StartWork>(&command))
        if (auto* sum = std::get_if<Aggregate>(&work->work)) mutate_sum(*sum);
      for (Command& early : more) commands.push_back(std::move(early));
      commands.push_back(std::move(command));
    }
    return commands;
  }

 private:
  void offered(const RoundKey& key, const Link& to) {
    if (key != round_) cohort_.clear();
    round_ = key;
    cohort_[to.peer] = to;
  }

  void mutate_sum(Aggregate& sum) const {
    if (mutant_ == Mutant::kCountedTwice) sum.contributions.push_back(sum.contributions.front());
    if (mutant_ == Mutant::kLateLeftOut && sum.contributions.size() > 1) sum.contributions.pop_back();
  }

  // What leaves before a write instead of after it.
  Commands ahead_of(const Batch& batch) const {
    Commands commands;
    for (const Put& put : batch.puts) {
      if (mutant_ == Mutant::kAckBeforeRow && put.key.starts_with("update/")) {
        const auto row = decode_update_row(put.value);
        const auto peer = fixed_from_hex<PeerKey>(key_parts(put.key).back());
        if (!row || !peer || !links_.contains(*peer)) continue;
        commands.push_back(Send{links_.at(*peer), UpdateAccepted{row->update.key}});
      }
      if (mutant_ == Mutant::kReleaseBeforeCommit && put.key.starts_with("model/") && !cohort_.empty())
        for (const auto& [peer, link] : cohort_) commands.push_back(Send{link, RoundClosed{round_, true, ""}});
    }
    return commands;
  }

  Mutant mutant_;
  std::unique_ptr<Machine> inner_;
  std::map<PeerKey, Link> links_;
  std::map<PeerKey, Link> cohort_;  // of the round offered last
  RoundKey round_;
};

bool is_chained(const std::string& key) { return key.starts_with("ledger/") || key.starts_with("audit/"); }

}  // namespace

const char* name_of(Mutant mutant) {
  for (const auto& [value, name] : kNames)
    if (value == mutant) return name;
  COVEY_CHECK(false);
  return "";
}

bool is_secure(Mutant mutant) {
  return mutant == Mutant::kOrderBeforeRow || mutant == Mutant::kOutcomeForgotten || is_of_client(mutant);
}

bool is_of_client(Mutant mutant) { return mutant == Mutant::kMaskedBeforeRecord || mutant == Mutant::kVoteBeforeRecord; }

const std::vector<Mutant>& all_mutants() {
  static const std::vector<Mutant> all = [] {
    std::vector<Mutant> some;
    for (const auto& [value, name] : kNames)
      if (value != Mutant::kNone) some.push_back(value);
    return some;
  }();
  return all;
}

Result<Mutant> mutant_from(const std::string& name) {
  std::string known;
  for (const auto& [value, text] : kNames) {
    if (name == text) return value;
    known += std::string(known.empty() ? "" : ", ") + text;
  }
  return unexpected(ErrorCode::kInvalidArgument, "no mutant is called '" + name + "'; the names are: " + known);
}

// ---- Store

Result<void> MutantStore::write(const Batch& batch) {
  Batch rest;
  if (mutant_ == Mutant::kTornBatch) {
    for (const Put& put : batch.puts) {
      Batch one;
      one.puts.push_back(put);
      COVEY_TRY_VOID(inner_.write(one));
    }
    rest.deletes = batch.deletes;
  } else if (mutant_ == Mutant::kLedgerApart) {
    Batch first;
    for (const Put& put : batch.puts) (is_chained(put.key) ? rest : first).puts.push_back(put);
    first.deletes = batch.deletes;
    COVEY_TRY_VOID(inner_.write(first));
  } else if (mutant_ == Mutant::kOutcomeForgotten) {
    rest = batch;
    std::erase_if(rest.puts, [](const Put& put) { return put.key.starts_with("outcome/"); });
  } else {
    rest = batch;
  }
  COVEY_TRY_VOID(inner_.write(rest));
  blobs_.settle();
  return {};
}

// ---- LateBlobs

void LateBlobs::settle() {
  if (!late_) return;
  const std::lock_guard lock(mutex_);
  const auto ids = waiting_.list();
  for (const Digest& id : *ids) {
    COVEY_CHECK(inner_.put(*waiting_.get(id)).has_value());
    COVEY_CHECK(waiting_.erase(id).has_value());
  }
}

Result<BlobRef> LateBlobs::put(ByteSpan value) {
  if (!late_) return inner_.put(value);
  const std::lock_guard lock(mutex_);
  return waiting_.put(value);
}

bool LateBlobs::has(const Digest& id) {
  const std::lock_guard lock(mutex_);
  return waiting_.has(id) || inner_.has(id);
}

Result<Bytes> LateBlobs::get(const Digest& id) {
  const std::lock_guard lock(mutex_);
  return waiting_.has(id) ? waiting_.get(id) : inner_.get(id);
}

Result<std::uint64_t> LateBlobs::size(const Digest& id) {
  const std::lock_guard lock(mutex_);
  return waiting_.has(id) ? waiting_.size(id) : inner_.size(id);
}

Result<Bytes> LateBlobs::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  const std::lock_guard lock(mutex_);
  return waiting_.has(id) ? waiting_.read(id, offset, length) : inner_.read(id, offset, length);
}

Result<std::vector<Digest>> LateBlobs::chunk_hashes(const Digest& id) {
  const std::lock_guard lock(mutex_);
  return waiting_.has(id) ? waiting_.chunk_hashes(id) : inner_.chunk_hashes(id);
}

Result<std::vector<bool>> LateBlobs::begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) {
  if (!late_ || inner_.has(blob.id)) return inner_.begin_partial(blob, hashes);
  const std::lock_guard lock(mutex_);
  return waiting_.begin_partial(blob, hashes);
}

Result<void> LateBlobs::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  if (!late_ || inner_.has(id)) return inner_.write_chunk(id, index, chunk);
  const std::lock_guard lock(mutex_);
  return waiting_.write_chunk(id, index, chunk);
}

Result<void> LateBlobs::finish_partial(const Digest& id) {
  if (!late_ || inner_.has(id)) return inner_.finish_partial(id);
  const std::lock_guard lock(mutex_);
  return waiting_.finish_partial(id);
}

void LateBlobs::drop_partial(const Digest& id) {
  const std::lock_guard lock(mutex_);
  waiting_.drop_partial(id);
  inner_.drop_partial(id);
}

Result<void> LateBlobs::erase(const Digest& id) {
  const std::lock_guard lock(mutex_);
  COVEY_TRY_VOID(waiting_.erase(id));
  return inner_.erase(id);
}

// ---- the rest

std::unique_ptr<Machine> mutate(Mutant mutant, std::unique_ptr<Machine> machine) {
  if (mutant == Mutant::kNone) return machine;
  return std::make_unique<MutantMachine>(mutant, std::move(machine));
}

std::unique_ptr<Executor> mutate(Mutant mutant, std::unique_ptr<Executor> executor) {
  if (mutant == Mutant::kToldBeforeWrite) return std::make_unique<EarlyExecutor>(std::move(executor));
  if (mutant == Mutant::kOrderBeforeRow || is_of_client(mutant)) return std::make_unique<HoldingExecutor>(mutant, std::move(executor));
  return executor;
}

std::set<Digest> mutate(Mutant mutant, std::set<Digest> referenced, const std::vector<Row>& rows) {
  if (mutant != Mutant::kGreedySweep) return referenced;
  for (const Row& row : rows) {
    if (!row.key.starts_with("update/")) continue;
    const auto update = decode_update_row(row.value);
    if (update && update->update.update) referenced.erase(update->update.update->id);
  }
  return referenced;
}

std::vector<Row> mutate(Mutant mutant, std::vector<Row> rows) {
  if (mutant == Mutant::kForgetfulRestart) std::erase_if(rows, [](const Row& row) { return row.key.starts_with("update/"); });
  return rows;
}

}  // namespace covey::crash
