#include "bench/reliability/ingest_parts.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "core/base/random.h"
#include "core/crypto/digest.h"
#include "core/protocol/manifest.h"

namespace covey::bench {
namespace {

constexpr std::uint32_t kClasses = 1000;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

double peak_mib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

}  // namespace

CurveKey bed_key(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = static_cast<std::uint8_t>(number * 8 + 8);
  seed[31] = 64;
  return CurveKey::from_secret(Secret<32>(seed));
}

JobSpec bed_job(const IngestPlan& plan) {
  JobSpec job;
  job.privacy.secure_aggregation = false;
  job.model.family = ModelFamily::kLogistic;
  job.model.classes = kClasses;
  job.model.inputs = static_cast<std::uint32_t>(plan.parameters / kClasses - 1);  // with a bias each
  job.durability = plan.intake == Intake::kUpdate ? Durability::kUpdate : Durability::kAttempt;
  return job;
}

// ---- blobs

SyntheticBlobs::SyntheticBlobs(std::uint64_t seed, std::size_t updates, std::uint64_t parameters)
    : bytes_(parameters * sizeof(float)), pattern_(kChunkBytes) {
  Random random(seed);
  for (std::size_t i = 0; i < kChunkBytes; i += sizeof(float)) {
    const auto value = static_cast<float>(0.01 * (random.uniform() - 0.5));
    std::memcpy(pattern_.data() + i, &value, sizeof value);
  }
  for (std::size_t update = 0; update < updates; ++update) {
    std::vector<Digest> hashes;
    for (std::size_t i = 0; i < chunk_count(bytes_); ++i) hashes.push_back(chunk_digest(chunk_of(update, i)));
    refs_.push_back({blob_id(bytes_, hashes), bytes_});
    places_[refs_.back().id] = update;
    hashes_.push_back(std::move(hashes));
  }
}

Bytes SyntheticBlobs::chunk_of(std::size_t update, std::size_t index) const {
  Bytes chunk = pattern_;
  const float mark = static_cast<float>(update * 1000 + index % 1000) * 1e-6F;
  std::memcpy(chunk.data(), &mark, sizeof mark);
  chunk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, bytes_ - std::uint64_t{index} * kChunkBytes)));
  return chunk;
}

Result<std::uint64_t> SyntheticBlobs::size(const Digest&) { return bytes_; }
Result<std::vector<Digest>> SyntheticBlobs::chunk_hashes(const Digest& id) { return hashes_.at(places_.at(id)); }
Result<Bytes> SyntheticBlobs::read(const Digest& id, std::uint64_t offset, std::size_t length) {
  COVEY_CHECK(offset % kChunkBytes == 0 && length <= kChunkBytes);
  Bytes chunk = chunk_of(places_.at(id), static_cast<std::size_t>(offset / kChunkBytes));
  chunk.resize(length);
  return chunk;
}
Result<Bytes> SyntheticBlobs::get(const Digest&) { return unexpected(ErrorCode::kNotFound, "kept nowhere as a whole"); }
Result<BlobRef> SyntheticBlobs::put(ByteSpan) { return unexpected(ErrorCode::kUnsupported, "keeps nothing"); }
Result<void> SyntheticBlobs::read_written(const Digest&, std::uint64_t, std::span<std::uint8_t> out) {
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  return {};
}

Result<std::vector<bool>> SyntheticBlobs::begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) {
  const auto lock = lock_.hold(0);
  coming_[blob.id] = {blob, hashes};
  return std::vector<bool>(hashes.size());
}
Result<void> SyntheticBlobs::write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) {
  Digest expected;
  {
    const auto lock = lock_.hold(0);
    expected = coming_.at(id).hashes.at(index);
  }
  if (chunk_digest(chunk) == expected) return {};
  return unexpected(ErrorCode::kInvalidMessage, "another hash");
}
Result<void> SyntheticBlobs::finish_partial(const Digest&) { return {}; }
void SyntheticBlobs::drop_partial(const Digest& id) {
  const auto lock = lock_.hold(0);
  coming_.erase(id);
}
Result<void> SyntheticBlobs::erase(const Digest&) { return {}; }

// ---- a client

Commands GivingMachine::announce() const {
  Commands out;
  // Every round has updates of its own, as in a job: one blob is served to one peer a few times only.
  const std::size_t first = (offer_->key.round - 1) % plan_.rounds * plan_.updates;
  for (std::size_t i = 0; i < plan_.updates; ++i) {
    RoundKey key = offer_->key;
    key.attempt = static_cast<std::uint32_t>(i + 1);
    out.push_back(Send{{receiver_, 1}, UpdateReady{key, offer_->model.id, updates_[first + i], 100, {}, {}}});
  }
  return out;
}

Commands GivingMachine::handle(const Event& event, Instant) {
  Commands out;
  if (std::holds_alternative<Started>(event))
    for (const BlobRef& update : updates_) out.push_back(PublishBlob{update.id, std::nullopt});
  if (std::holds_alternative<Started>(event) || (std::holds_alternative<TimerFired>(event) && !offer_)) {
    out.push_back(Send{{receiver_, 1}, RoundAccept{{1, 1, 1}}});
    out.push_back(SetTimer{"again", std::chrono::milliseconds(300)});
  }
  if (const auto* received = std::get_if<Received>(&event))
    if (const auto* offer = std::get_if<RoundOffer>(&received->message)) {
      offer_ = *offer;
      if (!plan_.download) return announce();
      out.push_back(FetchBlob{++fetch_, receiver_, offer->model, Keep::kUnfinished});
    }
  if (const auto* fetched = std::get_if<BlobFetched>(&event); fetched && fetched->ticket == fetch_) {
    out = announce();
    out.push_back(EraseBlob{fetched->blob.id});
  }
  if (const auto* failed = std::get_if<BlobFailed>(&event)) out.push_back(Halt{1, failed->error.message});
  return out;
}

// ---- the receiver

void TakingMachine::fail(const Error& error, Commands& out) {
  error_ = error.message;
  out.push_back(Halt{1, error.message});
}

Commands TakingMachine::handle(const Event& event, Instant now) {
  Commands out;
  if (std::holds_alternative<Started>(event)) {
    for (const PeerKey& giver : givers_) out.push_back(AdmitPeer{giver, Admission::kMember});
    if (plan_.intake == Intake::kCryptoAlone) model_ = shard_ = {Digest{{1}}, 4};
    else out.push_back(StartWork{init_ = ++last_, InitModel{bed_job(plan_)}});
  }
  if (const auto* failed = std::get_if<BlobFailed>(&event)) fail(failed->error, out);
  if (const auto* failed = std::get_if<WorkFailed>(&event)) fail(failed->error, out);
  if (const auto* received = std::get_if<Received>(&event)) {
    if (std::holds_alternative<RoundAccept>(received->message)) {
      links_[received->from.peer] = received->from;
      if (announced_.empty() && shard_.size != 0 && links_.size() == givers_.size()) open_round(out);
    }
    if (const auto* ready = std::get_if<UpdateReady>(&received->message); ready && ready->update) {
      announced_[received->from.peer].push_back(*ready->update);
      if (std::all_of(givers_.begin(), givers_.end(), [&](const PeerKey& giver) {
            return announced_[giver].size() == plan_.updates;
          }))
        begin(now, out);
    }
  }
  if (const auto* done = std::get_if<WorkDone>(&event)) {
    if (done->ticket == init_) {
      model_ = std::get<ModelReady>(done->value).model;
      out.push_back(FetchBlob{manifest_ = ++last_, PeerKey{}, model_});
    } else if (done->ticket == sum_) {
      aggregated(std::get<Aggregated>(done->value), now, out);
    } else if (const auto at = checking_.find(done->ticket); at != checking_.end()) {
      const Taking taking = at->second;
      checking_.erase(at);
      taken(taking, out, now);
    }
  }
  if (const auto* fetched = std::get_if<BlobFetched>(&event)) {
    if (fetched->ticket == manifest_) {
      shard_ = decode_manifest(fetched->content).value().shards.at(0);
      out.push_back(PublishBlob{shard_.id, std::nullopt});
      if (links_.size() == givers_.size()) open_round(out);
      return out;
    }
    const Taking taking = fetching_.at(fetched->ticket);
    fetching_.erase(fetched->ticket);
    if (plan_.intake == Intake::kCryptoAlone) {
      taken(taking, out, now);
    } else {
      CheckUpdate work{taking.blob, plan_.parameters, {}, std::nullopt, 1};
      if (plan_.intake == Intake::kAttempt) work.sum = SumInto{key(), 100};
      checking_[++last_] = taking;
      out.push_back(StartWork{last_, std::move(work)});
    }
    if (error_.empty()) fetch_next(taking.from, out);
  }
  return out;
}

void TakingMachine::open_round(Commands& out) {
  announced_[givers_.front()];  // open: a late greeting opens no second one
  for (const auto& [peer, link] : links_) {
    RoundOffer offer;
    offer.key = key();
    offer.model = shard_;
    offer.deadline = std::chrono::hours(1);
    out.push_back(Send{link, offer});
  }
}

void TakingMachine::begin(Instant now, Commands& out) {
  forget_peak();
  began_ = now;
  cpu_began_ = cpu_seconds();
  for (const PeerKey& giver : givers_) fetch_next(giver, out);
}

// One at a time from each.
void TakingMachine::fetch_next(PeerKey from, Commands& out) {
  std::vector<BlobRef>& left = announced_[from];
  if (left.empty()) return;  // or the round has ended with this one
  fetching_[++last_] = {from, left.back()};
  out.push_back(FetchBlob{last_, from, left.back(), plan_.intake == Intake::kUpdate ? Keep::kDurably : Keep::kUnfinished});
  left.pop_back();
}

void TakingMachine::taken(const Taking& taking, Commands& out, Instant now) {
  taken_.push_back({taking.blob, 100});
  if (plan_.intake != Intake::kUpdate) out.push_back(EraseBlob{taking.blob.id});
  if (taken_.size() < givers_.size() * plan_.updates) return;
  ended_ = now;
  round_.seconds = seconds(now - began_);
  round_.cpu_seconds = cpu_seconds() - cpu_began_;
  if (plan_.intake == Intake::kCryptoAlone) return end_round(now, out);
  Aggregate work;
  work.key = key();
  work.job = bed_job(plan_);
  work.model = model_;
  work.next_version = key().round;
  work.contributions = taken_;
  out.push_back(StartWork{sum_ = ++last_, std::move(work)});
}

void TakingMachine::aggregated(const Aggregated& value, Instant now, Commands& out) {
  round_.aggregate_seconds = seconds(now - ended_);
  if (plan_.intake == Intake::kUpdate)
    for (const Contribution& part : taken_) out.push_back(EraseBlob{part.update.id});
  out.push_back(StartWork{++last_, DropSum{key()}});
  out.push_back(EraseBlob{model_.id});
  out.push_back(EraseBlob{shard_.id});
  model_ = value.model;
  end_round(now, out);
}

void TakingMachine::end_round(Instant, Commands& out) {
  round_.peak_mib = peak_mib();
  rounds_.push_back(std::exchange(round_, {}));
  taken_.clear();
  announced_.clear();
  announced_[givers_.front()];
  if (rounds_.size() == plan_.rounds) return out.push_back(Halt{0, ""});
  if (plan_.intake == Intake::kCryptoAlone) return open_round(out);
  out.push_back(FetchBlob{manifest_ = ++last_, PeerKey{}, model_});
}

}  // namespace covey::bench
