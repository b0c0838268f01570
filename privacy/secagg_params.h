// The shape of one secure aggregation: who shares with whom, how many shares open a secret, whose
// signatures decide. Computed alike by coordinator and clients; docs/secure_aggregation.md, section 3,
// has the argument.
#pragma once
#include <cstdint>

#include "core/base/bytes.h"

namespace covey {

inline constexpr std::uint32_t kCompleteGraphMembersMax = 128;  // above: a ring
inline constexpr std::uint32_t kSecAggMembersMax = 1 << 16;
inline constexpr std::uint32_t kMillionths = 1'000'000;

struct GraphRequest {
  std::uint32_t members = 0;      // n
  std::uint32_t corrupt_max = 0;  // A: absolute, from each client's own policy
  std::uint32_t present_min = 0;  // honest members and others that do not drop out: ceil((1 - delta) n)
  std::uint32_t silent_max = 0;   // present, corrupt, and never answering: A in the product
  unsigned sigma = 80;            // privacy fails with chance <= 2^-sigma
  unsigned eta = 20;              // an attempt fails with chance <= about 2^-eta
  unsigned split = 2;             // each privacy event gets 2^-(sigma + split); 2 covers all three events
};

struct Graph {
  std::uint32_t members = 0;
  bool complete = false;
  std::uint32_t degree = 0;     // k neighbours each: k/2 on each side of the ring, or all others
  std::uint32_t threshold = 0;  // t shares open a secret
  std::uint32_t window = 0;     // w survivors in every k/2 consecutive ring positions; 0 when complete
  std::uint32_t committee = 0;  // c: the first ring positions
  std::uint32_t quorum = 0;     // Q of them make a certificate
  std::uint32_t abort_quorum = 0;  // of an ABORT: Q, but n + A - t + 1 when complete
  bool operator==(const Graph&) const = default;
};

// Errors: kInvalidArgument where no graph is safe and live, with what to change.
Result<Graph> graph_for(const GraphRequest& request);

// ceil((1 - delta) n).
std::uint32_t present_min(std::uint32_t members, std::uint32_t dropout_millionths);

// A for a fixed membership of `registered`: max(1, ceil(gamma N)).
std::uint32_t corrupt_bound_fixed(std::uint32_t registered, std::uint32_t gamma_millionths);
// A where exactly `members` of the registered are drawn: the smallest a with P[H(N, floor(gamma N),
// members) > a] <= 2^-(sigma + 2).
std::uint32_t corrupt_bound_drawn(std::uint64_t registered, std::uint32_t gamma_millionths, std::uint32_t members,
                                  unsigned sigma);
// A where each registered member is drawn independently with chance q (below): the smallest a with
// P[Bin(floor(gamma N), q) > a] <= 2^-(sigma + 2).
std::uint32_t corrupt_bound_sampled(std::uint64_t registered, std::uint32_t gamma_millionths, double chance,
                                    unsigned sigma);

// The draw itself, of a beacon that the coordinator cannot choose: is this subject in this round?
// `chance_2_64` is q * 2^64.
struct Draw {
  Digest beacon;
  Digest task;
  std::uint64_t round = 0;
  std::uint64_t chance_2_64 = 0;
};
bool drawn(const Draw& draw, ByteSpan subject);

}  // namespace covey
