#include "privacy/secagg_terms.h"

#include <cmath>
#include <initializer_list>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

Unexpected malformed(const std::string& what) {
  return unexpected(ErrorCode::kInvalidMessage, "secure aggregation's terms: " + what);
}
Unexpected denied(const std::string& what) {
  return unexpected(ErrorCode::kPermissionDenied, "this member's policy refuses the aggregation: " + what);
}

void write(ByteWriter& out, const NoiseTerms& n) {
  out.u8(n.mechanism).u8(n.adjacency).f64(n.clip).f64(n.weight_max).f64(n.grid).f64(n.norm_bound);
  out.f64(n.rounding_bias).f64(n.wrap_margin).f64(n.local_noise).f64(n.epsilon);
}
NoiseTerms read_noise(ByteReader& in) {
  NoiseTerms n;
  n.mechanism = in.u8();
  n.adjacency = in.u8();
  for (double* value : {&n.clip, &n.weight_max, &n.grid, &n.norm_bound, &n.rounding_bias, &n.wrap_margin,
                        &n.local_noise, &n.epsilon})
    *value = in.f64();
  return n;
}

Result<void> check(const NoiseTerms& n) {
  for (const double value : {n.clip, n.weight_max, n.grid, n.norm_bound, n.rounding_bias, n.wrap_margin, n.local_noise,
                             n.epsilon})
    if (!std::isfinite(value) || value < 0 || std::signbit(value)) return malformed("a privacy term is negative or not finite");
  if (n.mechanism > 2 || n.adjacency > 1) return malformed("an unknown noise mechanism or adjacency");
  return {};
}

Result<void> check_vectors(const std::vector<VectorSpec>& vectors) {
  if (vectors.empty() || vectors.size() > kVectorsMax)
    return malformed(std::to_string(vectors.size()) + " vectors; give 1 to " + std::to_string(kVectorsMax));
  std::uint64_t values = 0;
  for (const VectorSpec& vector : vectors) {
    COVEY_TRY_VOID(Ring::of_width(vector.width));
    if (vector.name.size() > kVectorNameBytesMax || vector.values == 0 || vector.values > kRingValuesMax - values)
      return malformed("a vector's name is longer than 64 bytes, or the vectors hold none or more than 2^36 values");
    values += vector.values;
  }
  return {};
}

// `flag`: what the site's owner set.
Result<void> at_least(const char* what, std::uint64_t value, const char* flag, std::uint64_t bound) {
  if (value >= bound) return {};
  return denied(std::string(what) + " is " + std::to_string(value) + ", this site's " + flag + " is " + std::to_string(bound));
}

// A share as the job's file and the site's flags write it.
std::string share_text(std::uint32_t millionths) { return setting_text(millionths / 1e6); }

}  // namespace

Bytes encode(const SecAggConfig& c) {
  ByteWriter out;
  out.u8(kSecAggVersion).fixed(c.task).u64(c.round).u32(c.attempt).text(c.stage).text(c.data_scope);
  out.fixed(c.model).fixed(c.training).fixed(c.nonce);
  out.u32(c.members_min).u32(c.members_max).u32(c.survivors_min).u32(c.corrupt_max);
  out.u32(c.gamma_millionths).u32(c.dropout_millionths).u32(c.sigma).u32(c.eta);
  out.u32(c.credential_epoch).fixed(c.revocation_root).fixed(c.beacon).u64(c.draw_chance_2_64);
  write(out, c.noise);
  out.u32(static_cast<std::uint32_t>(c.vectors.size()));
  for (const VectorSpec& v : c.vectors) out.text(v.name).u32(v.width).u64(v.values);
  return out.take();
}

Result<SecAggConfig> decode_secagg_config(ByteSpan bytes) {
  ByteReader in(bytes);
  SecAggConfig c;
  if (in.u8() != kSecAggVersion) return malformed("another version than 1; update this member or the coordinator");
  c.task = in.fixed<Digest>();
  c.round = in.u64();
  c.attempt = in.u32();
  c.stage = in.text();
  c.data_scope = in.text();
  c.model = in.fixed<Digest>();
  c.training = in.fixed<Digest>();
  c.nonce = in.fixed<AttemptNonce>();
  for (std::uint32_t* value : {&c.members_min, &c.members_max, &c.survivors_min, &c.corrupt_max, &c.gamma_millionths,
                               &c.dropout_millionths, &c.sigma, &c.eta, &c.credential_epoch})
    *value = in.u32();
  c.revocation_root = in.fixed<Digest>();
  c.beacon = in.fixed<Digest>();
  c.draw_chance_2_64 = in.u64();
  c.noise = read_noise(in);
  const std::size_t vectors = in.count(16);
  if (vectors > kVectorsMax) return malformed("more than " + std::to_string(kVectorsMax) + " vectors");
  for (std::size_t i = 0; i < vectors; ++i) {
    VectorSpec v;
    v.name = in.text();
    v.width = in.u32();
    v.values = in.u64();
    c.vectors.push_back(std::move(v));
  }
  if (const auto whole = in.finish("secure aggregation's terms"); !whole) return malformed(whole.error().message);
  COVEY_TRY_VOID(check(c));
  return c;
}

Result<void> check(const SecAggConfig& c) {
  if (c.stage.empty() || c.stage.size() > kStageBytesMax || c.data_scope.empty() || c.data_scope.size() > kDataScopeBytesMax)
    return malformed("stage and data scope are 1 to 64 bytes long");
  if (c.members_min < 2 || c.members_min > c.members_max || c.members_max > kSecAggMembersMax)
    return malformed("the cohort is " + std::to_string(c.members_min) + " to " + std::to_string(c.members_max) +
                     " members; 2 to " + std::to_string(kSecAggMembersMax) + " are possible");
  if (c.survivors_min > c.members_max || c.corrupt_max >= c.members_min || c.corrupt_max >= c.survivors_min)
    return malformed("no honest survivor would be certain: raise survivors_min above corrupt_max");
  if (c.gamma_millionths > kMillionths || c.dropout_millionths > kMillionths || c.sigma < 1 || c.sigma > 128 || c.eta < 1 ||
      c.eta > 64)
    return malformed("gamma and delta are at most 1000000 millionths, sigma 1 to 128, eta 1 to 64");
  // A draw bounds A only by a beacon that the coordinator cannot choose, and there is none that members could check.
  if (!c.beacon.is_zero() || c.draw_chance_2_64 != 0)
    return malformed("members drawn by a beacon; this version knows none that a coordinator could not choose: draw_chance "
                     "and beacon must be 0");
  COVEY_TRY_VOID(check(c.noise));
  return check_vectors(c.vectors);
}

Digest hash_of(const SecAggConfig& config) {
  ByteWriter in;
  in.text("covey secagg config v1").blob(encode(config));
  return sha256(in.bytes());
}

Digest sid_of(const SecAggConfig& c) {
  ByteWriter in;
  in.text("covey secagg sid v1").fixed(c.task).u64(c.round).u32(c.attempt).text(c.stage).fixed(c.nonce);
  return sha256(in.bytes());
}

Result<Graph> graph_of(const SecAggConfig& c, std::uint32_t members) {
  GraphRequest request;
  request.members = members;
  request.corrupt_max = c.corrupt_max;
  request.present_min = present_min(members, c.dropout_millionths);
  request.silent_max = std::min(c.corrupt_max, request.present_min);
  request.sigma = c.sigma;
  request.eta = c.eta;
  return graph_for(request);
}

std::uint32_t survivors_needed(const SecAggConfig& c, std::uint32_t members) {
  const std::uint32_t present = present_min(members, c.dropout_millionths);
  return std::max(c.survivors_min, present - std::min(present, c.corrupt_max));
}

Result<void> check_standing(const SecAggConfig& c, const ClientPolicy& p) {
  const std::uint32_t least = p.withdrawals.number == 0 ? p.epoch_min : std::max(p.epoch_min, p.withdrawals.epoch);
  if (c.credential_epoch < least)
    return denied("credential epoch " + std::to_string(c.credential_epoch) + " is below " + std::to_string(least));
  if (c.revocation_root == root_of(p.withdrawals)) return {};
  return denied("it goes by another list of withdrawn credentials than number " + std::to_string(p.withdrawals.number) +
                ", the newest this member knows: any `covey vouch` or `covey revoke` with the authority's key puts the newest in force");
}

Result<void> check_policy(const SecAggConfig& c, const ClientPolicy& p) {
  COVEY_TRY_VOID(at_least("corrupt_max", c.corrupt_max, "--corrupt-min", p.corrupt_min));
  if (c.gamma_millionths < p.gamma_min_millionths)
    return denied("privacy.corrupt_fraction is " + share_text(c.gamma_millionths) + ", this site's --gamma-min is " +
                  share_text(p.gamma_min_millionths));
  // A share that is announced and not reckoned with would be a word only.
  const std::uint32_t corrupt = corrupt_bound_fixed(c.members_max, c.gamma_millionths);
  if (c.corrupt_max < corrupt)
    return denied("corrupt_max is " + std::to_string(c.corrupt_max) + ", the least is " + std::to_string(corrupt) + ": " +
                  share_text(c.gamma_millionths) + " (privacy.corrupt_fraction) of " + std::to_string(c.members_max) + " members");
  COVEY_TRY_VOID(at_least("sigma", c.sigma, "--sigma-min", p.sigma_min));
  COVEY_TRY_VOID(at_least("members_min", c.members_min, "--members-min", p.members_min));
  COVEY_TRY_VOID(at_least("survivors_min", c.survivors_min, "--survivors-min", p.survivors_min));
  COVEY_TRY_VOID(at_least("survivors_min less corrupt_max", c.survivors_min - std::min(c.survivors_min, c.corrupt_max),
                          "--honest-min", p.honest_min));
  if (c.dropout_millionths > p.dropout_max_millionths)
    return denied("privacy.dropout is " + share_text(c.dropout_millionths) + ", this site's --dropout-max is " +
                  share_text(p.dropout_max_millionths));
  COVEY_TRY_VOID(check_standing(c, p));
  if (c.noise.local_noise < p.local_noise_min)
    return denied("local_noise is " + std::to_string(c.noise.local_noise) + ", the least is " + std::to_string(p.local_noise_min));
  if (p.epsilon_max > 0 && (c.noise.mechanism == 0 || c.noise.epsilon > p.epsilon_max))
    return denied("epsilon is " + (c.noise.mechanism == 0 ? "without bound" : std::to_string(c.noise.epsilon)) +
                  ", the most is " + std::to_string(p.epsilon_max));
  return {};
}

Result<void> check_terms(const SecAggConfig& c, const ClientTerms& t) {
  const auto differs = [](const char* what) {
    return unexpected(ErrorCode::kInvalidMessage, std::string("the invitation's ") + what + " is not what this member trained for");
  };
  if (c.task != t.task || c.round != t.round) return differs("task or round");
  if (c.stage != t.stage) return differs("stage");
  if (c.data_scope != t.data_scope) return differs("data scope");
  if (c.model != t.model) return differs("model");
  if (c.training != t.training) return differs("training settings");
  if (c.vectors != t.vectors) return differs("list of vectors");
  return {};
}

}  // namespace covey
