// What the members of one secure aggregation agree on before it begins, and what each of them insists
// on by itself. docs/secure_aggregation.md has the protocol and every byte.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/time.h"
#include "core/protocol/withdrawals.h"
#include "privacy/masking.h"
#include "privacy/secagg_params.h"

namespace covey {

inline constexpr std::uint8_t kSecAggVersion = 1;
inline constexpr std::size_t kStageBytesMax = 64;
inline constexpr std::size_t kDataScopeBytesMax = 64;

using AttemptNonce = FixedBytes<32, struct AttemptNonceTag>;

// The privacy terms of what is summed; zero noise is mechanism 0. They bind everyone through H(config).
struct NoiseTerms {
  std::uint8_t mechanism = 0;   // 0 none, 1 discrete Gaussian, 2 Skellam
  std::uint8_t adjacency = 0;   // 0 zero-out, 1 replace-one
  double clip = 0;              // C
  double weight_max = 0;        // w_max
  double grid = 0;              // gamma_q
  double norm_bound = 0;        // D2, in grid steps
  double rounding_bias = 0;     // beta
  double wrap_margin = 0;       // kappa
  double local_noise = 0;       // sigma_l: each member's own share of noise
  double epsilon = 0;           // what this release is charged
  bool operator==(const NoiseTerms&) const = default;
};

struct SecAggConfig {
  Digest task;
  std::uint64_t round = 0;
  std::uint32_t attempt = 0;
  std::string stage;                         // one masked sum of the pipeline's fixed list
  std::string data_scope;                    // which of a member's data it speaks about
  Digest model;
  Digest training;                           // hash of the local hyper-parameters
  AttemptNonce nonce;                        // the coordinator's
  std::uint32_t members_min = 0;             // n_lo
  std::uint32_t members_max = 0;             // n_hi
  std::uint32_t survivors_min = 0;           // n_min
  std::uint32_t corrupt_max = 0;             // A
  std::uint32_t gamma_millionths = 0;
  std::uint32_t dropout_millionths = 0;      // delta, of honest members
  std::uint32_t sigma = 80;
  std::uint32_t eta = 20;
  std::uint32_t credential_epoch = 0;
  Digest revocation_root;                    // of the authority's list of withdrawn credentials (root_of)
  Digest beacon;                             // zeros: no beacon is trusted to draw members (docs, section 8)
  std::uint64_t draw_chance_2_64 = 0;        // 0: nor does anything else draw them
  NoiseTerms noise;
  std::vector<VectorSpec> vectors;
  bool operator==(const SecAggConfig&) const = default;
};
Bytes encode(const SecAggConfig& config);
// Errors: kInvalidMessage, for whatever is malformed, out of bounds, or contradicts itself.
Result<SecAggConfig> decode_secagg_config(ByteSpan bytes);
Result<void> check(const SecAggConfig& config);
Digest hash_of(const SecAggConfig& config);
// The attempt's name: task, round, attempt, stage and the coordinator's nonce.
Digest sid_of(const SecAggConfig& config);
// The graph of a roster of `members` under these terms. Errors: as graph_for().
Result<Graph> graph_of(const SecAggConfig& config, std::uint32_t members);
// max(n_min, ceil((1 - delta) n) - A): corrupt members may have stayed silent too.
std::uint32_t survivors_needed(const SecAggConfig& config, std::uint32_t members);

// What a member insists on, whatever a coordinator proposes. Set by the member's owner.
struct ClientPolicy {
  VerifyKey authority;
  std::uint32_t epoch_min = 0;
  Withdrawals withdrawals;                    // the newest that it knows: the terms must name it, the roster none of its keys
  std::vector<VerifyKey> pinned;              // if not empty: members must be among these
  std::uint32_t corrupt_min = 1;              // A is at least this, and what gamma makes of members_max (corrupt_bound_fixed)
  std::uint32_t gamma_min_millionths = 0;
  std::uint32_t sigma_min = 80;
  std::uint32_t members_min = 3;
  std::uint32_t survivors_min = 3;
  std::uint32_t honest_min = 3;               // n_min - A
  std::uint32_t dropout_max_millionths = 300'000;
  double local_noise_min = 0;
  double epsilon_max = 0;                     // 0: any; else noise must be on and charge at most this
  Duration roster_within = std::chrono::seconds(300);  // after the invitation
  Duration attempt_within = std::chrono::hours(2);
};
// Whether the terms count the credentials that this member counts: an epoch that is not below its own, and its list of
// withdrawn ones. Errors: kPermissionDenied. Part of check_policy().
Result<void> check_standing(const SecAggConfig& config, const ClientPolicy& policy);
// Errors: kPermissionDenied, naming the term, its value and the owner's bound.
Result<void> check_policy(const SecAggConfig& config, const ClientPolicy& policy);

// What a member's own pipeline is about to send; the invitation must ask for exactly this.
struct ClientTerms {
  Digest task;
  std::uint64_t round = 0;
  std::string stage;
  std::string data_scope;
  Digest model;
  Digest training;
  std::vector<VectorSpec> vectors;
};
Result<void> check_terms(const SecAggConfig& config, const ClientTerms& terms);

}  // namespace covey
