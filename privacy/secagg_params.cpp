#include "privacy/secagg_params.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "privacy/hypergeometric.h"

namespace covey {
namespace {

constexpr std::uint32_t kCommitteeMin = 64;
constexpr std::uint32_t kCommitteeStep = 8;

Unexpected refused(const GraphRequest& r, const std::string& why) {
  return unexpected(ErrorCode::kInvalidArgument,
                    "secure aggregation of " + std::to_string(r.members) + " members with up to " +
                        std::to_string(r.corrupt_max) + " corrupt and at least " + std::to_string(r.present_min) +
                        " present: " + why);
}

double power_of_half(unsigned bits) { return std::ldexp(1.0, -static_cast<int>(bits)); }

// One more than the corrupt members among `drawn` random ones, but for a chance of `chance`.
std::uint32_t honest_majority_over(const GraphRequest& r, std::uint32_t drawn, double chance) {
  const auto law = DiscreteLaw::hypergeometric(r.members, r.corrupt_max, drawn);
  return static_cast<std::uint32_t>(law.quantile_above(chance)) + 1;
}

bool enough_answer(const GraphRequest& r, std::uint32_t drawn, std::uint32_t needed, double chance) {
  const std::uint32_t answering = r.present_min - r.silent_max;
  return DiscreteLaw::hypergeometric(r.members, answering, drawn).below(needed) <= chance;
}

Result<Graph> complete_graph(const GraphRequest& r) {
  // 2t > n + A: two quorums share an honest member, and the corrupt alone open nothing. Two thirds
  // leave room to correct wrong shares; fewer are asked for where silent members would block that.
  const std::uint32_t safe = (r.members + r.corrupt_max) / 2 + 1;
  const std::uint32_t usual = 2 * r.members / 3 + 1;
  if (usual < safe)
    return refused(r, "at most a third may be corrupt; raise the number of members or lower the bound");
  const std::uint32_t answering = r.present_min - r.silent_max;
  Graph graph;
  graph.members = r.members;
  graph.complete = true;
  graph.degree = r.members - 1;
  graph.threshold = graph.quorum = std::clamp(answering, safe, usual);
  graph.committee = r.members;
  // So many that promise to reveal nothing, A of whom may lie, leave fewer than t shares of any secret.
  graph.abort_quorum = r.members + r.corrupt_max - graph.threshold + 1;
  if (graph.threshold > r.present_min)
    return refused(r, std::to_string(graph.threshold) + " must answer; allow fewer to drop out");
  return graph;
}

bool find_degree(const GraphRequest& r, Graph& graph) {
  const double breach = power_of_half(r.sigma + r.split) / r.members;
  const double stall = power_of_half(r.eta + 1) / r.members;
  for (std::uint32_t k = 2; k < r.members; k += 2) {
    graph.threshold = honest_majority_over(r, k, breach);
    if (graph.threshold > k || !enough_answer(r, k, graph.threshold, stall)) continue;
    graph.window = honest_majority_over(r, k / 2, breach);
    if (!enough_answer(r, k / 2, graph.window, stall)) continue;
    graph.degree = k;
    return true;
  }
  return false;
}

bool find_committee(const GraphRequest& r, Graph& graph) {
  for (std::uint32_t c = kCommitteeMin; c <= r.members; c += kCommitteeStep) {
    const std::uint32_t corrupt = honest_majority_over(r, c, power_of_half(r.sigma + r.split)) - 1;
    graph.quorum = graph.abort_quorum = (c + corrupt) / 2 + 1;
    graph.committee = c;
    if (enough_answer(r, c, graph.quorum, power_of_half(r.eta + 1))) return true;
  }
  return false;
}

}  // namespace

Result<Graph> graph_for(const GraphRequest& r) {
  if (r.members < 2 || r.members > kSecAggMembersMax)
    return refused(r, "2 to " + std::to_string(kSecAggMembersMax) + " members can take part");
  if (r.present_min > r.members || r.corrupt_max >= r.members || r.silent_max > r.present_min)
    return refused(r, "the numbers contradict each other");
  if (r.sigma < 1 || r.sigma > 128 || r.eta < 1 || r.eta > 64 || r.split > 8)
    return refused(r, "sigma is 1 to 128 and eta 1 to 64");
  if (r.members <= kCompleteGraphMembersMax) return complete_graph(r);
  Graph graph;
  graph.members = r.members;
  if (!find_degree(r, graph) || !find_committee(r, graph))
    return refused(r, "no ring is safe and live; lower the bound on corrupt members or on dropouts, or raise the members");
  return graph;
}

std::uint32_t present_min(std::uint32_t members, std::uint32_t dropout_millionths) {
  COVEY_CHECK(dropout_millionths <= kMillionths);
  const std::uint64_t kept = std::uint64_t{members} * (kMillionths - dropout_millionths);
  return static_cast<std::uint32_t>((kept + kMillionths - 1) / kMillionths);
}

std::uint32_t corrupt_bound_fixed(std::uint32_t registered, std::uint32_t gamma_millionths) {
  const std::uint64_t corrupt = std::uint64_t{registered} * gamma_millionths;
  return std::max(1U, static_cast<std::uint32_t>((corrupt + kMillionths - 1) / kMillionths));
}

std::uint32_t corrupt_bound_drawn(std::uint64_t registered, std::uint32_t gamma_millionths, std::uint32_t members,
                                  unsigned sigma) {
  COVEY_CHECK(gamma_millionths <= kMillionths && members <= registered);
  const auto law = DiscreteLaw::hypergeometric(registered, registered * gamma_millionths / kMillionths, members);
  return static_cast<std::uint32_t>(law.quantile_above(power_of_half(sigma + 2)));
}

std::uint32_t corrupt_bound_sampled(std::uint64_t registered, std::uint32_t gamma_millionths, double chance,
                                    unsigned sigma) {
  COVEY_CHECK(registered < (std::uint64_t{1} << 31) && gamma_millionths <= kMillionths);
  const std::uint64_t corrupt = registered * gamma_millionths / kMillionths;
  const auto law = DiscreteLaw::binomial(corrupt, chance);
  return static_cast<std::uint32_t>(law.quantile_above(power_of_half(sigma + 2)));
}

bool drawn(const Draw& draw, ByteSpan subject) {
  ByteWriter in;
  in.text("covey secagg select v1").fixed(draw.beacon).fixed(draw.task).u64(draw.round).blob(subject);
  const Digest digest = sha256(in.bytes());
  std::uint64_t top = 0;
  for (std::size_t i = 0; i < 8; ++i) top = (top << 8) | digest.bytes[i];
  return top < draw.chance_2_64;
}

}  // namespace covey
