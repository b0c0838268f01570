#include "privacy/dp_charge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint8_t kChargeVersion = 1;
constexpr double kRecomputed = 1e-9;  // relative: libraries differ in the last digits

double chance_of(std::uint64_t chance_2_64) { return std::ldexp(static_cast<double>(chance_2_64), -64); }

Unexpected refused(const std::string& why) { return unexpected(ErrorCode::kInvalidArgument, "a privacy charge: " + why); }

// What the cohort may claim, by its kind alone.
Result<void> check_chance(const ReleaseTerms& terms, CohortDraw kind, std::uint64_t chance_2_64) {
  const double q = terms.sampling_chance;
  if (!(q > 0 && q <= 1)) return refused("a sampling chance of " + setting_text(q) + " must be above 0 and at most 1");
  if (q < 1 && kind != CohortDraw::kPoissonBeacon)
    return refused("q = " + setting_text(q) + " is claimed for a cohort of " + name_of(kind) +
                   "; only members drawn independently by a beacon may be charged with q below 1: charge q = 1");
  if (kind == CohortDraw::kPoissonBeacon && q < chance_of(chance_2_64))
    return refused("q = " + setting_text(q) + " is claimed, and members were drawn with the chance " +
                   setting_text(chance_of(chance_2_64)) + ": charge that");
  return {};
}

// That each was drawn by the beacon, and all who were drawn were invited.
Result<void> check_draw(const CohortEvidence& evidence, std::uint32_t members) {
  if (evidence.invited.size() != members)
    return refused("a roster of " + std::to_string(evidence.invited.size()) + " subjects for " + std::to_string(members) + " members");
  const std::set<SubjectId> invited(evidence.invited.begin(), evidence.invited.end());
  const std::set<SubjectId> registered(evidence.registered.begin(), evidence.registered.end());
  if (invited.size() != evidence.invited.size() || registered.size() != evidence.registered.size())
    return refused("a subject is named twice");
  if (evidence.draw.beacon.is_zero()) return refused("a draw without a beacon: charge q = 1");
  for (const SubjectId& subject : invited) {
    if (!registered.contains(subject)) return refused("subject " + short_hex(subject) + " of the roster is not registered");
    if (!drawn(evidence.draw, subject.span()))
      return refused("subject " + short_hex(subject) + " of the roster was not drawn by the beacon: charge q = 1");
  }
  for (const SubjectId& subject : registered)
    if (drawn(evidence.draw, subject.span()) && !invited.contains(subject))
      return refused("subject " + short_hex(subject) + " was drawn and is not in the roster: a cohort that was cut off is " +
                     "no independent draw; charge q = 1");
  return {};
}

Result<void> check_terms(const ReleaseTerms& t) {
  if (t.members > kSecAggMembersMax)
    return refused(std::to_string(t.members) + " members are more than the " + std::to_string(kSecAggMembersMax) + " of any cohort");
  const std::uint64_t needed = std::uint64_t{t.share.contributors} + t.corrupt_max;
  if (t.share.contributors == 0 || t.survivors < needed || t.members < t.survivors)
    return refused(std::to_string(t.survivors) + " survivors of " + std::to_string(t.members) + " members, of whom " +
                   std::to_string(t.corrupt_max) + " may be corrupt; the noise was planned for " +
                   std::to_string(t.share.contributors) + " honest ones, which takes " + std::to_string(needed) + " survivors");
  return {};
}

// The curves and the flaw, of terms that were checked.
Result<void> compute(DpCharge& charge) {
  const ReleaseTerms& t = charge.terms;
  COVEY_TRY(const NormBound bound, norm_bound(t.rounding));
  const SummedNoise noise{bound, t.rounding.dimension, t.share.deviation(), t.share.contributors, t.members};
  COVEY_TRY(charge.against_coordinator,
            t.mechanism == NoiseMechanism::kSkellam ? skellam_sum_rdp(noise) : discrete_gaussian_sum_rdp(noise));
  charge.against_readers = poisson_sampled_rdp(charge.against_coordinator, t.sampling_chance);
  COVEY_TRY(const RingNoise source, RingNoise::of(t.mechanism, t.share.variance));
  charge.total_variation = source.total_variation() * t.members * static_cast<double>(t.rounding.dimension);
  return {};
}

// `stated` does not claim less than `computed`, of the same orders.
bool covers(const RdpCurve& stated, const RdpCurve& computed) {
  for (std::size_t i = 0; i < computed.values.size(); ++i)
    if (!(stated.values[i] >= computed.values[i] * (1 - kRecomputed))) return false;
  return true;
}

// The values at whole_orders(): version 1 knows no others.
void write(ByteWriter& out, const RdpCurve& curve) {
  COVEY_CHECK(curve.orders == whole_orders() && curve.values.size() == curve.orders.size());
  for (const double value : curve.values) out.f64(value);
}

RdpCurve read_curve(ByteReader& in) {
  RdpCurve curve{whole_orders(), {}};
  for (std::size_t i = 0; i < curve.orders.size(); ++i) curve.values.push_back(in.f64());
  return curve;
}

}  // namespace

const char* name_of(CohortDraw draw) {
  switch (draw) {
    case CohortDraw::kFixedMembership: return "fixed membership";
    case CohortDraw::kPoissonBeacon: return "independent draws by a beacon";
    case CohortDraw::kCheckIn: return "whoever checked in";
    case CohortDraw::kFixedSize: return "a fixed size";
  }
  return "no known kind";
}

Digest registry_digest(const std::vector<SubjectId>& registered) {
  ByteWriter out;
  out.text("covey dp registry v1").u64(registered.size());
  for (const SubjectId& subject : registered) out.fixed(subject);
  return sha256(out.bytes());
}

Result<DpCharge> charge_for(const ReleaseTerms& terms, const CohortEvidence& evidence) {
  const bool poisson = evidence.kind == CohortDraw::kPoissonBeacon;
  DpCharge charge{terms, evidence.kind, {}, 0, registry_digest(evidence.registered), {}, {}, 0};
  if (poisson) {
    charge.beacon = evidence.draw.beacon;
    charge.chance_2_64 = evidence.draw.chance_2_64;
  }
  COVEY_TRY_VOID(check_terms(terms));
  COVEY_TRY_VOID(check_chance(terms, charge.cohort, charge.chance_2_64));
  if (poisson) COVEY_TRY_VOID(check_draw(evidence, terms.members));
  COVEY_TRY_VOID(compute(charge));
  return charge;
}

Result<void> check_cohort(const DpCharge& charge, const CohortEvidence& evidence) {
  const auto wrong = [](const std::string& why) { return unexpected(ErrorCode::kCorrupted, "a privacy charge: " + why); };
  if (evidence.kind != charge.cohort) return wrong(std::string("it speaks of ") + name_of(charge.cohort) + ", the cohort is " + name_of(evidence.kind));
  if (registry_digest(evidence.registered) != charge.registry) return wrong("it speaks of another registry");
  if (charge.cohort != CohortDraw::kPoissonBeacon) return {};
  if (evidence.draw.beacon != charge.beacon || evidence.draw.chance_2_64 != charge.chance_2_64) return wrong("it speaks of another draw");
  const auto checked = check_draw(evidence, charge.terms.members);
  return checked ? checked : wrong(checked.error().message);
}

Bytes encode(const DpCharge& charge) {
  const ReleaseTerms& t = charge.terms;
  ByteWriter out;
  out.u8(kChargeVersion).u8(static_cast<std::uint8_t>(t.mechanism)).u8(static_cast<std::uint8_t>(charge.cohort));
  out.f64(t.rounding.clip).f64(t.rounding.weight_max).f64(t.rounding.grid).f64(t.rounding.bias).u64(t.rounding.dimension);
  out.u64(t.share.variance.in_65536ths).u32(t.share.contributors).u32(t.corrupt_max).u32(t.members).u32(t.survivors);
  out.f64(t.sampling_chance).fixed(charge.beacon).u64(charge.chance_2_64).fixed(charge.registry).f64(charge.total_variation);
  write(out, charge.against_coordinator);
  write(out, charge.against_readers);
  return out.take();
}

Result<DpCharge> decode_charge(ByteSpan bytes) {
  ByteReader in(bytes);
  DpCharge charge;
  ReleaseTerms& t = charge.terms;
  const std::uint8_t version = in.u8(), mechanism = in.u8(), cohort = in.u8();
  if (version != kChargeVersion || mechanism < 1 || mechanism > 2 || cohort > 3) in.refuse();
  t.mechanism = static_cast<NoiseMechanism>(mechanism);
  charge.cohort = static_cast<CohortDraw>(cohort);
  t.rounding = {in.f64(), in.f64(), in.f64(), in.f64(), in.u64()};
  t.share.variance.in_65536ths = in.u64();
  t.share.contributors = in.u32();
  t.corrupt_max = in.u32();
  t.members = in.u32();
  t.survivors = in.u32();
  t.sampling_chance = in.f64();
  charge.beacon = in.fixed<Digest>();
  charge.chance_2_64 = in.u64();
  charge.registry = in.fixed<Digest>();
  charge.total_variation = in.f64();
  charge.against_coordinator = read_curve(in);
  charge.against_readers = read_curve(in);
  COVEY_TRY_VOID(in.finish("a privacy charge"));

  const auto checked = [&]() -> Result<void> {
    COVEY_TRY_VOID(check_terms(t));
    COVEY_TRY_VOID(check_chance(t, charge.cohort, charge.chance_2_64));
    DpCharge again = charge;
    COVEY_TRY_VOID(compute(again));
    if (!covers(charge.against_coordinator, again.against_coordinator) || !covers(charge.against_readers, again.against_readers) ||
        !(charge.total_variation >= again.total_variation * (1 - kRecomputed)))
      return refused("it states less than its own terms cost");
    return {};
  }();
  if (!checked) return unexpected(ErrorCode::kCorrupted, checked.error().message);
  return charge;
}

PrivacyAccount::PrivacyAccount(const PrivacyBudget& budget)
    : budget_(budget), sums_{{whole_orders(), std::vector<double>(whole_orders().size(), 0)}, {whole_orders(), std::vector<double>(whole_orders().size(), 0)}, 0, 0} {
  COVEY_CHECK(budget.delta > 0 && budget.delta < 1 && budget.epsilon_against_coordinator > 0 && budget.epsilon_against_readers > 0);
}

PrivacyAccount::Sums PrivacyAccount::with(Sums sums, const DpCharge& charge) {
  sums.coordinator = composed(std::move(sums.coordinator), charge.against_coordinator);
  sums.readers = composed(std::move(sums.readers), charge.against_readers);
  sums.total_variation += charge.total_variation;
  ++sums.releases;
  return sums;
}

Result<PrivacySpent> PrivacyAccount::value_of(const Sums& sums) const {
  const auto coordinator = epsilon_with_flaws(sums.coordinator, budget_.delta, sums.total_variation);
  const auto readers = epsilon_with_flaws(sums.readers, budget_.delta, sums.total_variation);
  if (!coordinator) return unexpected(ErrorCode::kResourceExhausted, coordinator.error().message);
  if (!readers) return unexpected(ErrorCode::kResourceExhausted, readers.error().message);
  return PrivacySpent{coordinator->epsilon, readers->epsilon, sums.releases};
}

Result<PrivacySpent> PrivacyAccount::reserve(const DpCharge& charge) {
  Sums sums = with(sums_, charge);
  COVEY_TRY(const PrivacySpent after, value_of(sums));
  const auto over = [&](const char* whom, double epsilon, double bound) {
    return unexpected(ErrorCode::kResourceExhausted,
                      "release " + std::to_string(after.releases) + " would bring epsilon against " + whom + " to " + setting_text(epsilon) +
                          " at delta " + setting_text(budget_.delta) + ", and the budget is " + setting_text(bound) + ": the job ends here");
  };
  if (!(after.against_coordinator <= budget_.epsilon_against_coordinator))
    return over("the coordinator", after.against_coordinator, budget_.epsilon_against_coordinator);
  if (!(after.against_readers <= budget_.epsilon_against_readers))
    return over("readers of the model", after.against_readers, budget_.epsilon_against_readers);
  sums_ = std::move(sums);
  return after;
}

void PrivacyAccount::replay(const DpCharge& charge) { sums_ = with(std::move(sums_), charge); }

Result<PrivacySpent> PrivacyAccount::spent() const { return value_of(sums_); }

}  // namespace covey
