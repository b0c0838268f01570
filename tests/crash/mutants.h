// Deliberate defects, wrapped around the real parts inside the process that is killed. The product
// has none of this: a harness that does not catch them would not catch their like either.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/protocol/machine.h"
#include "core/store/blobs.h"
#include "core/store/store.h"

namespace covey::crash {

enum class Mutant {
  kNone,
  kToldBeforeWrite,      // Executor: Persisted before the batch is written
  kAckBeforeRow,         // Machine: UpdateAccepted leaves before the row's Persist, not after it
  kRowBeforeBlob,        // BlobStore: a blob becomes durable only after the row that names it
  kReleaseBeforeCommit,  // Machine: RoundClosed{committed} leaves before the commit's Persist
  kTornBatch,            // Store: each row of a batch written on its own
  kLedgerApart,          // Store: the rows of ledger/ and audit/ written after the rest of their batch
  kForgetfulRestart,     // rows: accepted updates are not loaded at a restart
  kGreedySweep,          // orphans: the sweep keeps models only
  kCountedTwice,         // Machine: the first update is in the sum twice
  kLateLeftOut,          // Machine: the last update is not in the sum
  // Under secure aggregation:
  kOrderBeforeRow,       // Executor: the order to mask leaves before its mask/ row is durable
  kOutcomeForgotten,     // Store: the members' certificate is told and never written
  kMaskedBeforeRecord,   // Executor, a client's: its vectors leave before the record that it masked is durable
  kVoteBeforeRecord,     // Executor, a client's: its vote leaves before its record is durable
};
bool is_secure(Mutant mutant);     // shows only under secure aggregation
bool is_of_client(Mutant mutant);  // a client's defect, not the coordinator's
const char* name_of(Mutant mutant);  // "told_before_write"
const std::vector<Mutant>& all_mutants();  // without kNone
Result<Mutant> mutant_from(const std::string& name);

// kRowBeforeBlob: whole values wait in memory until settle() lays them into the files below.
class LateBlobs final : public BlobStore {
 public:
  LateBlobs(Mutant mutant, BlobStore& inner) : late_(mutant == Mutant::kRowBeforeBlob), inner_(inner) {}
  void settle();

  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override;
  Result<Bytes> get(const Digest& id) override;
  Result<std::uint64_t> size(const Digest& id) override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<std::unique_ptr<BlobWriter>> writer() override { return late_ ? BlobStore::writer() : inner_.writer(); }
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override {
    return inner_.read_written(id, offset, out);
  }
  Result<std::vector<bool>> begin_unsynced(const BlobRef& blob, const std::vector<Digest>& hashes) override {
    return inner_.begin_unsynced(blob, hashes);
  }
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override { return inner_.list(); }

 private:
  bool late_;
  BlobStore& inner_;
  std::mutex mutex_;
  MemoryBlobs waiting_;
};

class MutantStore final : public Store {
 public:
  MutantStore(Mutant mutant, Store& inner, LateBlobs& blobs) : mutant_(mutant), inner_(inner), blobs_(blobs) {}
  Result<void> write(const Batch& batch) override;
  Result<std::optional<Bytes>> get(std::string_view key) override { return inner_.get(key); }
  Result<std::vector<Row>> scan(std::string_view prefix) override { return inner_.scan(prefix); }

 private:
  Mutant mutant_;
  Store& inner_;
  LateBlobs& blobs_;
};

// Each gives the part itself where the mutant is one of another part.
std::unique_ptr<Machine> mutate(Mutant mutant, std::unique_ptr<Machine> machine);
std::unique_ptr<Executor> mutate(Mutant mutant, std::unique_ptr<Executor> executor);
std::set<Digest> mutate(Mutant mutant, std::set<Digest> referenced, const std::vector<Row>& rows);
std::vector<Row> mutate(Mutant mutant, std::vector<Row> rows);  // as a restart loads them

}  // namespace covey::crash
