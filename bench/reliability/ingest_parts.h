// The two ends of an ingest measurement: see ingest_bed.h.
#pragma once
#include <map>
#include <set>

#include "bench/reliability/ingest_bed.h"
#include "core/base/blob_store.h"
#include "core/base/striped_lock.h"
#include "core/crypto/curve_key.h"
#include "core/protocol/machine.h"

namespace covey::bench {

CurveKey bed_key(std::uint8_t number);  // 0: the receiver
JobSpec bed_job(const IngestPlan& plan);

// Verifies and forgets what is written to it; serves updates made from a number, which are never
// in memory more than once.
class SyntheticBlobs final : public BlobStore {
 public:
  // `updates` values of `parameters` small floats each, told apart by `seed`.
  SyntheticBlobs(std::uint64_t seed, std::size_t updates, std::uint64_t parameters);
  const std::vector<BlobRef>& updates() const { return refs_; }

  Result<BlobRef> put(ByteSpan value) override;
  bool has(const Digest& id) override { return places_.contains(id); }
  Result<Bytes> get(const Digest& id) override;
  Result<std::uint64_t> size(const Digest& id) override;
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override;
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override;
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override;
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override;
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override;
  Result<void> finish_partial(const Digest& id) override;
  void drop_partial(const Digest& id) override;
  Result<void> erase(const Digest& id) override;
  Result<std::vector<Digest>> list() override { return std::vector<Digest>(); }

 private:
  struct Coming {
    BlobRef blob;
    std::vector<Digest> hashes;
  };
  Bytes chunk_of(std::size_t update, std::size_t index) const;
  std::uint64_t bytes_;
  Bytes pattern_;  // one chunk
  std::vector<BlobRef> refs_;
  std::vector<std::vector<Digest>> hashes_;
  std::map<Digest, std::size_t> places_;
  StripedLock lock_;
  std::map<Digest, Coming> coming_;
};

// Announces itself until it is offered a round; fetches the model if it should; announces its updates.
class GivingMachine final : public Machine {
 public:
  GivingMachine(PeerKey receiver, const IngestPlan& plan, std::vector<BlobRef> updates)
      : receiver_(receiver), plan_(plan), updates_(std::move(updates)) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  Commands announce() const;
  PeerKey receiver_;
  IngestPlan plan_;
  std::vector<BlobRef> updates_;
  std::optional<RoundOffer> offer_;
  Ticket fetch_ = 0;
};

// Takes the updates in, as a coordinator's job does, and measures.
class TakingMachine final : public Machine {
 public:
  TakingMachine(const IngestPlan& plan, std::vector<PeerKey> givers) : plan_(plan), givers_(std::move(givers)) {}
  Commands handle(const Event& event, Instant now) override;
  const std::vector<IngestRound>& rounds() const { return rounds_; }
  const std::string& error() const { return error_; }

 private:
  struct Taking {
    PeerKey from;
    BlobRef blob;
  };
  void open_round(Commands& out);
  void begin(Instant now, Commands& out);
  void fetch_next(PeerKey from, Commands& out);
  void taken(const Taking& taking, Commands& out, Instant now);
  void aggregated(const Aggregated& value, Instant now, Commands& out);
  void end_round(Instant now, Commands& out);
  void fail(const Error& error, Commands& out);
  RoundKey key() const { return {1, static_cast<std::uint32_t>(rounds_.size() + 1), 1}; }

  IngestPlan plan_;
  std::vector<PeerKey> givers_;
  std::map<PeerKey, Link> links_;
  BlobRef model_;   // manifest
  BlobRef shard_;
  std::map<PeerKey, std::vector<BlobRef>> announced_;
  std::map<Ticket, Taking> fetching_;
  std::map<Ticket, Taking> checking_;
  std::vector<Contribution> taken_;
  Ticket last_ = 0, init_ = 0, manifest_ = 0, sum_ = 0;
  Instant began_, ended_;
  double cpu_began_ = 0;
  IngestRound round_;
  std::vector<IngestRound> rounds_;
  std::string error_;
};

}  // namespace covey::bench
