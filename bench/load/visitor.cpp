#include "bench/load/visitor.h"

#include <stdexcept>

#include "bench/load/estate.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/version.h"

namespace covey::load {
namespace {

constexpr std::size_t kUpdates = 8;        // different ones of a process
constexpr double kJoinPatience = 30;       // seconds
constexpr double kAnswerPatience = 8;
constexpr double kAskAgain = 0.1;
constexpr double kAskChunksAgain = 2;
constexpr double kSilence = 25;            // beyond the coordinator's 20 s for a link without life
constexpr std::uint64_t kSilentOneIn = 200;
constexpr std::size_t kSocketsMax = 4096;

}  // namespace

Town::Town(const CoordinatorAddress& address_, std::uint64_t parameters, VisitCounts& counts_)
    : address(address_), context(1, static_cast<int>(kSocketsMax)), counts(counts_) {
  Random random(parameters);
  for (std::size_t n = 0; n < kUpdates; ++n) {
    std::vector<float> values(parameters);
    for (float& value : values) value = static_cast<float>(0.01 * (random.uniform() - 0.5));
    updates.push_back(blobs.put(bytes_of_floats(values)).value());
  }
}

Visitor::Visitor(Town& town, std::size_t node, std::uint64_t seed)
    : town_(town), node_(node), random_(seed), key_(key_of_node(node)), link_{town.address.curve, 1},
      instance_(random_.next() | 1) {
  auto dialled = DialTransport::dial({town.address}, key_, town.clock, town.log, &town.context);
  if (!dialled) throw std::runtime_error(dialled.error().message);
  transport_ = *std::move(dialled);
  transport_->send(link_, Join{kProtocolVersion, instance_, capability_of_nodes(), kProtocolVersionMin});
  enter(Stage::kJoining, kJoinPatience);
}

void Visitor::enter(Stage stage, double patience_seconds) {
  stage_ = stage;
  until_ = now_seconds() + patience_seconds;
}

bool Visitor::turn(double now) {
  if (stage_ == Stage::kGone) return false;
  if (stage_ != Stage::kSilent) {
    const Instant instant = town_.clock.now();
    if (transport_->next_tick() <= instant) transport_->tick(instant);
    for (auto messages = transport_->receive(); !messages.empty(); messages = transport_->receive())
      for (const Incoming& incoming : messages) {
        if (stage_ != Stage::kGone && stage_ != Stage::kSilent) hear(incoming.message);
        if (stage_ == Stage::kGone) return false;
      }
  }
  if (now >= ask_at_ && (stage_ == Stage::kManifest || stage_ == Stage::kShard)) ask(now);
  if (now < until_) return true;
  if (stage_ == Stage::kSilent) return false;  // its socket closes with it
  ++(stage_ == Stage::kJoining ? town_.counts.not_joined : town_.counts.unanswered);
  transport_.reset();
  return false;
}

void Visitor::hear(const Message& message) {
  if (std::holds_alternative<JoinAccepted>(message) && stage_ == Stage::kJoining) {
    ++town_.counts.joined;
    transport_->send(link_, Heartbeat{instance_});
    enter(Stage::kBeating, kAnswerPatience);
  }
  if (std::holds_alternative<JoinRefused>(message)) {
    ++town_.counts.not_joined;
    transport_.reset();
    stage_ = Stage::kGone;
  }
  if (std::holds_alternative<Ping>(message)) transport_->send(link_, Heartbeat{instance_});
  if (std::holds_alternative<HeartbeatAck>(message) && stage_ == Stage::kBeating) beat();
  if (const auto* offer = std::get_if<RoundOffer>(&message)) contribute(*offer);
  if (const auto* asked = std::get_if<ChunkListWant>(&message)) list(*asked);
  if (const auto* asked = std::get_if<ChunkWant>(&message)) serve(*asked);
  if (const auto* told = std::get_if<ChunkList>(&message); told != nullptr && told->blob == wanted_.id && !listed_) {
    listed_ = true;
    ask(now_seconds());
  }
  if (const auto* chunk = std::get_if<Chunk>(&message)) take(*chunk);
  if (std::holds_alternative<BlobRefused>(message)) go();  // that model is no longer the newest
  if (std::holds_alternative<UpdateAccepted>(message)) {
    ++town_.counts.uploads_whole;
    go();
  }
  if (std::holds_alternative<UpdateRefused>(message) || std::holds_alternative<RoundClosed>(message)) go();
}

void Visitor::beat() {
  if (random_.below(2) == 0 && town_.model) return want(Stage::kManifest, *town_.model);
  go();
}

void Visitor::want(Stage stage, const BlobRef& blob) {
  wanted_ = blob;
  listed_ = false;
  enter(stage, kAnswerPatience);
  ask(now_seconds());
}

// What is sent before the bulk link is up is dropped, so it asks again until it is answered.
void Visitor::ask(double now) {
  ask_at_ = now + (listed_ ? kAskChunksAgain : kAskAgain);
  if (!listed_) return transport_->send_bulk(link_.peer, ChunkListWant{wanted_, 0});
  ChunkWant want{wanted_.id, {}};
  for (std::uint32_t i = 0; i < chunk_count(wanted_.size) && i < kChunkCreditsMax; ++i) want.indices.push_back(i);
  transport_->send_bulk(link_.peer, want);
}

// Of the manifest all, for it names the shards; of a shard the first chunk, with more on the way.
void Visitor::take(const Chunk& chunk) {
  if (chunk.blob != wanted_.id) return;
  if (stage_ == Stage::kManifest) {
    const auto manifest = decode_manifest(chunk.bytes);
    if (manifest) return want(Stage::kShard, manifest->shards.front());
  }
  ++town_.counts.downloads_cut;
  go();
}

void Visitor::contribute(const RoundOffer& offer) {
  town_.model = offer.model;
  if (stage_ == Stage::kGiving || offer.kind != RoundKind::kTrain) return;
  ++town_.counts.offered;
  UpdateReady ready;
  ready.key = offer.key;
  ready.model = offer.model.id;
  ready.update = town_.updates[random_.below(town_.updates.size())];
  ready.examples = 10;
  ready.train = {10, 10, 1, 0.1};
  chunks_left_ = random_.below(2 * chunk_count(ready.update->size));  // half of them give all
  transport_->send(link_, RoundAccept{offer.key});
  transport_->offer_blobs();
  transport_->send(link_, ready);
  enter(Stage::kGiving, kAnswerPatience);
}

void Visitor::list(const ChunkListWant& want) {
  auto hashes = town_.blobs.chunk_hashes(want.blob.id);
  if (hashes) transport_->send_bulk(link_.peer, ChunkList{want.blob.id, want.page, *std::move(hashes)});
}

void Visitor::serve(const ChunkWant& want) {
  for (const std::uint32_t index : want.indices) {
    const auto size = town_.blobs.size(want.blob);
    if (!size || index >= chunk_count(*size)) return;
    if (chunks_left_ == 0) {
      ++town_.counts.uploads_cut;
      return go();
    }
    --chunks_left_;
    const std::uint64_t begin = std::uint64_t{index} * kChunkBytes;
    auto bytes = town_.blobs.read(want.blob, begin, std::min<std::uint64_t>(kChunkBytes, *size - begin));
    if (bytes) transport_->send_bulk(link_.peer, Chunk{want.blob, index, *std::move(bytes)});
  }
}

void Visitor::go() {
  if (random_.below(kSilentOneIn) == 0) {
    ++town_.counts.silent;
    return enter(Stage::kSilent, kSilence);
  }
  if (random_.below(2) == 0) {
    ++town_.counts.left;
    transport_->send(link_, Leave{});
    transport_->close(std::chrono::seconds(1));
  } else {
    ++town_.counts.vanished;
    transport_->close(Duration::zero());
  }
  transport_.reset();
  stage_ = Stage::kGone;
}

}  // namespace covey::load
