#include "sim/liar.h"

#include <limits>

#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "privacy/secagg_client.h"

namespace covey {
namespace {

constexpr const char* kLiarTimer = "liar";
constexpr Duration kPause = std::chrono::milliseconds(400);
constexpr int kBurst = 8;

}  // namespace

LiarNode::LiarNode(std::unique_ptr<Machine> client, Lie lie, const Self& self, Random random)
    : client_(std::move(client)), lie_(lie), self_(self), coordinator_{self.coordinator, 1}, random_(random) {}

Digest LiarNode::some_digest() {
  Digest digest;
  for (std::uint8_t& byte : digest.bytes) byte = static_cast<std::uint8_t>(random_.next());
  return digest;
}

RoundKey LiarNode::some_round() {
  RoundKey key = last_ ? last_->key : RoundKey{1, 1, 1};
  switch (random_.below(4)) {
    case 0: key.round += 1 + static_cast<std::uint32_t>(random_.below(3)); break;
    case 1: key.attempt += 1000 + static_cast<std::uint32_t>(random_.below(3)); break;  // the next one may come, and is offered with the same model
    case 2: key.job += 1000 + random_.below(3); break;  // another job may stand at this round, with the same model
    default: key = {random_.next(), static_cast<std::uint32_t>(random_.next()), static_cast<std::uint32_t>(random_.next())};
  }
  return key;
}

void LiarNode::change(UpdateReady& ready) {
  last_ = ready;
  switch (lie_) {
    case Lie::kNotFinite:
    case Lie::kWrongSize:
    case Lie::kHugeNorm:
    case Lie::kWrongChunks: return;  // in the update itself, or on its way
    case Lie::kHugeExamples: ready.examples = (std::uint64_t{1} << 41U) + random_.below(1000); return;  // what a frame may say
    case Lie::kWrongRound: ready.key = some_round(); return;
    case Lie::kForeignBlob:
      if (ready.update) ready.update->id = ready.model;  // the offered manifest, which the coordinator has
      return;
    case Lie::kNeverServes:
      if (ready.update) ready.update->id = some_digest();
      return;
    case Lie::kWrongModel:
    case Lie::kWrongDeal:
    case Lie::kWrongShares:
    case Lie::kNoise:
    case Lie::kForged: ready.model = some_digest(); return;
    case Lie::kNoExamples: ready.examples = 0; return;
    case Lie::kFlood: ready.model = some_digest(); return;
  }
}

// A lie that is signed as the truth would be. Notes alone: in no simulated campaign is a roster so large that it speaks in letters.
void LiarNode::change(SecAggNote& note) {
  auto decoded = decode_secagg_message(note.content);
  if (!decoded) return;
  if (auto* shares = std::get_if<SharesMessage>(&*decoded); shares != nullptr && lie_ == Lie::kWrongDeal) {
    shares->commitment.bytes[0] ^= 1U;
    shares->signature = self_.signing->sign(
        kSharesDomain, shares_statement(shares->id, shares->member, shares->commitment, merkle_root(shares->sealed)));
    note.content = encode(*decoded);
  }
  if (auto* unmask = std::get_if<UnmaskMessage>(&*decoded); unmask != nullptr && lie_ == Lie::kWrongShares) {
    for (RevealedShare& share : unmask->shares)
      if (share.dealer != unmask->member) share.value.bytes[0] ^= 1U;
    unmask->signature = self_.signing->sign(kUnmaskDomain, unmask_statement(*unmask));
    note.content = encode(*decoded);
  }
}

void LiarNode::change(MaskUpdate& work) const {
  if (lie_ != Lie::kNoise) return;
  const MaskPlan& plan = *work.plan;
  MaskPlan other{plan.sid, plan.cipher, plan.vectors, {}};
  for (const MaskSeed& seed : plan.seeds) other.seeds.push_back({seed.seed.clone(), seed.sign});
  other.seeds.front().seed = Secret<32>();  // its own mask
  work.plan = std::make_shared<const MaskPlan>(std::move(other));
}

Message LiarNode::noise() {
  switch (random_.below(9)) {
    case 0: return Join{kProtocolVersion, random_.next(), Capability{"liar", 1, random_.below(1U << 30), 0}};
    case 1: return Heartbeat{random_.next()};
    case 2: return Leave{};
    case 3: return RoundAccept{some_round()};
    case 4: return RoundDecline{some_round(), DeclineReason::kBusy, std::string(kErrorTextBytesMax, 'x')};
    case 5: return RoundFailed{some_round(), Error{ErrorCode::kInternal, std::string(kErrorTextBytesMax, 'y')}};
    case 6: {
      UpdateReady ready;
      ready.key = last_ && random_.below(2) == 0 ? last_->key : some_round();
      ready.update = BlobRef{some_digest(), random_.below(1U << 30)};
      ready.examples = 1;
      return ready;
    }
    case 7: return OperatorRequest{random_.next(), StopJob{1 + random_.below(3)}};
    default: return OperatorRequest{random_.next(), RevokeNode{"client-" + std::to_string(random_.below(10))}};
  }
}

Message LiarNode::forged() {
  const RoundKey key = last_ && random_.below(2) == 0 ? last_->key : some_round();
  switch (random_.below(9)) {
    case 0: return UpdateAccepted{key};
    case 1: return RoundClosed{key, true, "closed"};
    case 2: return RoundOffer{key, RoundKind::kTrain, {some_digest(), 10}, {some_digest(), 10}, 20s, 0, 1};
    case 3: return RejoinRequired{};
    case 4: return JoinAccepted{"coordinator"};
    case 5: return HeartbeatAck{};
    case 6: return OperatorReply{random_.next(), Done{"done"}};
    case 7: return ChunkListWant{{last_ && last_->update ? last_->update->id : some_digest(), 1 + random_.below(1U << 20)}, 0};
    default: return ChunkWant{some_digest(), {0, 1, 2, 3}};
  }
}

Commands LiarNode::handle(const Event& event, Instant now) {
  const bool flooding = lie_ == Lie::kFlood || lie_ == Lie::kForged || lie_ == Lie::kNeverServes;
  if (const auto* fired = std::get_if<TimerFired>(&event); fired != nullptr && fired->name == kLiarTimer) {
    Commands commands;
    if (now - started_ >= self_.quiet_after) return commands;
    commands.push_back(SetTimer{kLiarTimer, kPause});
    for (int i = 0; i < kBurst; ++i) {
      if (lie_ == Lie::kFlood) commands.push_back(Send{coordinator_, noise()});
      if (lie_ == Lie::kForged) commands.push_back(Send{coordinator_, forged()});
      if (lie_ != Lie::kNeverServes || !last_) continue;
      UpdateReady again = *last_;
      change(again);
      commands.push_back(Send{coordinator_, std::move(again)});
      break;
    }
    return commands;
  }
  Commands commands = client_->handle(event, now);
  for (Command& command : commands) {
    if (auto* send = std::get_if<Send>(&command)) {
      if (auto* ready = std::get_if<UpdateReady>(&send->message)) change(*ready);
      if (auto* note = std::get_if<SecAggNote>(&send->message)) change(*note);
    }
    if (auto* start = std::get_if<StartWork>(&command))
      if (auto* mask = std::get_if<MaskUpdate>(&start->work)) change(*mask);
  }
  if (std::holds_alternative<Started>(event)) {
    started_ = now;
    if (flooding) commands.push_back(SetTimer{kLiarTimer, kPause});
  }
  return commands;
}

Result<WorkValue> lying_work(Lie lie, const Work& work, Result<WorkValue> honest, BlobStore& blobs) {
  const auto* training = std::get_if<Train>(&work);
  if (training == nullptr || !honest) return honest;
  Trained& trained = std::get<Trained>(*honest);
  const bool in_update = lie == Lie::kNotFinite || lie == Lie::kWrongSize || lie == Lie::kHugeNorm;
  if (!trained.update || !in_update) return honest;
  COVEY_TRY(const Bytes bytes, blobs.get(trained.update->id));
  COVEY_TRY(std::vector<float> values, floats_of_bytes(bytes));
  if (lie == Lie::kWrongSize) {
    values.push_back(1);
  } else if (lie == Lie::kHugeNorm && training->job.update.clip_norm > 0) {
    for (float& value : values) value = 1e30F;
  } else {
    values.front() = std::numeric_limits<float>::quiet_NaN();
    values.back() = std::numeric_limits<float>::infinity();
  }
  COVEY_TRY(trained.update, blobs.put(bytes_of_floats(values)));
  return honest;
}

bool tamper(Lie lie, Message& bulk) {
  if (lie == Lie::kNeverServes && (std::holds_alternative<ChunkList>(bulk) || std::holds_alternative<Chunk>(bulk) ||
                                   std::holds_alternative<BlobRefused>(bulk)))
    return false;
  if (auto* chunk = std::get_if<Chunk>(&bulk); chunk != nullptr && lie == Lie::kWrongChunks && !chunk->bytes.empty())
    chunk->bytes.front() ^= 1U;
  return true;
}

}  // namespace covey
