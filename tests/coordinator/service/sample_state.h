// A coordinator's folder with a state in it, as this version writes it.
#pragma once
#include <doctest/doctest.h>

#include <memory>

#include "coordinator/service/backup.h"
#include "coordinator/service/durable_state.h"
#include "coordinator/tables.h"
#include "core/base/file.h"
#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"
#include "core/store/blobs.h"
#include "tests/core/base/temporary_folder.h"

namespace covey {

class SampleState {
 public:
  explicit SampleState(std::string folder) : folder_(std::move(folder)) { open(); }

  std::string data() const { return folder_ + "/data"; }
  std::string mark() const { return default_mark_path(folder_); }
  StateOptions options() const { return {folder_, mark()}; }
  MarkedStore& store() { return *state_->store; }
  BlobStore& blobs() { return *state_->blobs; }

  // The next ledger record, in a batch with a model whose shard holds `content`.
  void release(const std::string& content) {
    ReleaseRecord body;
    body.round = {1, static_cast<std::uint32_t>(head_.sequence + 1), 1};
    body.contributors = 2;
    const ChainRecord record = next_record(kLedgerChain, head_, encode(body), key_);
    head_ = {record.sequence, hash_of(kLedgerChain, record)};
    const BlobRef shard = *blobs().put(bytes_of(content));
    ModelRow model{shard, {shard}, std::nullopt};
    Batch batch;
    batch.put(ledger_key(record.sequence), encode(record));
    batch.put(model_key(1, static_cast<std::uint32_t>(record.sequence)), encode(model));
    REQUIRE(store().write(batch));
  }
  void start(std::uint64_t epoch) {
    Batch batch;
    batch.put(std::string(kEpochRow), epoch_value(epoch));
    REQUIRE(store().write(batch));
  }
  const ChainHead& head() const { return head_; }

  void close() { state_.reset(); }
  void open() {
    NullLog log;
    auto opened = open_state(options(), log);
    if (!opened) MESSAGE(opened.error().message);
    REQUIRE(opened);
    state_ = std::make_unique<DurableState>(std::move(*opened));
  }
  Result<DurableState> try_open(StateOptions options) {
    NullLog log;
    return open_state(options, log);
  }
  BackupPlan plan(const std::string& destination) const {
    return {data(), destination, CopyMode::kLinkOrCopy, PeerKey{{7}}, instant_of_nanos(1'700'000'000'000'000'000)};
  }

 private:
  std::string folder_;
  SigningKey key_ = SigningKey::from_seed(Secret<32>());
  ChainHead head_;
  std::unique_ptr<DurableState> state_;
};

inline void turn_bit(const std::string& path, std::uint64_t offset) {
  const auto file = *open_file(path, OpenMode::kReadWrite);
  Bytes byte(1);
  REQUIRE(*read_at(file, offset, byte, path) == 1);
  byte[0] ^= 0x40;
  REQUIRE(write_at(file, offset, byte, path));
}

}  // namespace covey
