// A round in progress: who was asked, and how far each has come.
#pragma once
#include <map>
#include <optional>

#include "coordinator/tables.h"
#include "core/protocol/machine.h"

namespace covey {

enum class MemberState : std::uint8_t {
  kOffered,    // asked, or about to rejoin after our restart
  kWorking,    // accepted the offer
  kQueued,     // its update is ready; it waits for its turn to be fetched
  kFetching,
  kChecking,
  kDelivered,  // accepted: its row is on its way to the disk or there
  kDeclined,
  kFailed,     // said that it could not
  kRefused,    // its update was not acceptable: final for this attempt
  kLost,       // silent for kLinkTimeout; offered again when it rejoins
  kLeft,       // said goodbye; offered again when it rejoins
  kRevoked,
};

struct Member {
  MemberState state = MemberState::kOffered;
  UpdateReady update;     // from kQueued to kDelivered
  Bytes note;             // of masked vectors: the signed Masked message
  Ticket ticket = 0;      // of its fetch or check
  double norm = 0;        // kDelivered
  Instant offered;        // when it was last asked
  bool holds_blob = false;
  bool kept = false;      // a part of its update is here and nothing fetches it now; holds_blob
  Instant fetching_since; // kFetching
  std::uint64_t turn = 0; // the least is fetched first; one more after each fetch that ended early, for others or by itself
  std::uint32_t conflicts = 0;  // other updates under the key of an accepted one, so far audited
};

// When a round that a process before this one began is said to have begun, for its seconds in figures and logs. Within
// a process time only passes; from one to the next the wall clock may have been set. A span that no round has, below zero
// or a day more than two deadlines, is not told: its seconds then count from `now`, the restart.
inline Instant credible_start(Instant started, Duration deadline, Instant now) {
  const bool credible = started <= now && now - started <= 2 * deadline + std::chrono::hours(24);
  return credible ? started : now;
}

struct RoundTally {
  std::uint32_t delivered = 0;
  std::uint32_t declined = 0;   // and failed, and refused
  std::uint32_t coming = 0;     // may deliver any moment
  std::uint32_t lost = 0;       // may come back
  std::uint32_t fetching = 0;
  std::uint32_t kept = 0;       // a part of their update is here, and nobody fetches it
};

struct Round {
  RoundKey key;
  RoundRow row;
  std::map<PeerKey, Member> members;
  Instant deadline;
  Instant progressed;           // under secure aggregation: the order to mask, or the last vectors that were accepted since
  bool frozen = false;          // no update counts any more: those of row.survivors are being released
  bool closing = false;         // about to be frozen: only updates that are being summed still count
  Ticket freeze = 0;            // the write that froze it, until that is durable
  bool committed = false;
  std::string consumed;         // why it ends without its sum: its release is spent, and the next model is this one
  Ticket work = 0;              // Aggregate
  Ticket manifest = 0;          // fetch of the next model's manifest
  Aggregated aggregated;        // from the end of `work`
  std::optional<Unmasked> opened;  // the same, under secure aggregation

  RoundTally tally() const;
};

inline RoundTally Round::tally() const {
  RoundTally tally;
  for (const auto& [peer, member] : members) {
    if (member.kept) ++tally.kept;
    switch (member.state) {
      case MemberState::kDelivered: ++tally.delivered; break;
      case MemberState::kDeclined:
      case MemberState::kFailed:
      case MemberState::kRefused: ++tally.declined; break;
      case MemberState::kFetching:
      case MemberState::kChecking: ++tally.fetching; [[fallthrough]];
      case MemberState::kOffered:
      case MemberState::kWorking:
      case MemberState::kQueued: ++tally.coming; break;
      case MemberState::kLost: ++tally.lost; break;
      case MemberState::kLeft:
      case MemberState::kRevoked: break;
    }
  }
  return tally;
}

}  // namespace covey
