#include "core/protocol/message.h"

#include <array>

namespace covey {
namespace {

constexpr std::array kMessageNames = {
    "Enrol", "EnrolAccepted", "EnrolRefused", "Join", "JoinAccepted", "JoinRefused", "Heartbeat",
    "HeartbeatAck", "Ping", "RejoinRequired", "Leave", "RoundOffer", "RoundAccept", "RoundDecline",
    "UpdateReady", "RoundFailed", "UpdateAccepted", "UpdateRefused", "RoundClosed", "ChunkListWant",
    "ChunkList", "ChunkWant", "Chunk", "BlobRefused", "BulkHello", "OperatorRequest", "OperatorReply",
    "MembershipRenewed", "SecAggNote", "SecAggLetter", "MaskedReady", "CredentialIssued", "KeyChanged",
    "CredentialsWithdrawn"};
static_assert(kMessageNames.size() == std::variant_size_v<Message>);

}  // namespace

std::string to_text(const RoundKey& key) {
  return "job " + std::to_string(key.job) + " round " + std::to_string(key.round) + " attempt " +
         std::to_string(key.attempt);
}

const char* name_of(DeclineReason reason) {
  switch (reason) {
    case DeclineReason::kBusy: return "busy";
    case DeclineReason::kPolicy: return "policy";
    case DeclineReason::kSchedule: return "schedule";
    case DeclineReason::kMemory: return "memory";
    case DeclineReason::kData: return "data";
    case DeclineReason::kInternal: return "internal";
  }
  return "unknown";
}

const char* name_of(JobState state) {
  switch (state) {
    case JobState::kPending: return "pending";
    case JobState::kRunning: return "running";
    case JobState::kFinished: return "finished";
    case JobState::kFailed: return "failed";
    case JobState::kStopped: return "stopped";
  }
  return "unknown";
}

const char* name_of(const Message& message) { return kMessageNames[message.index()]; }

bool is_bulk(const Message& message) {
  return std::holds_alternative<ChunkListWant>(message) || std::holds_alternative<ChunkList>(message) ||
         std::holds_alternative<ChunkWant>(message) || std::holds_alternative<Chunk>(message) ||
         std::holds_alternative<BlobRefused>(message) || std::holds_alternative<BulkHello>(message);
}

}  // namespace covey
