// What a release is charged, and what a ledger refuses to believe.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/wire.h"
#include "core/protocol/ledger.h"
#include "privacy/dp_charge.h"

namespace covey {
namespace {

constexpr std::uint64_t kSixteenth = std::uint64_t{1} << 60;  // of 2^64

SubjectId subject(std::uint32_t n) {
  SubjectId id;
  for (std::size_t i = 0; i < 4; ++i) id.bytes[i] = static_cast<std::uint8_t>(n >> (8 * i));
  id.bytes[15] = 1;
  return id;
}

// 2,000 registered; those whom the beacon draws, about 125.
CohortEvidence drawn_cohort() {
  CohortEvidence evidence;
  evidence.kind = CohortDraw::kPoissonBeacon;
  evidence.draw.beacon.bytes[0] = 9;
  evidence.draw.round = 3;
  evidence.draw.chance_2_64 = kSixteenth;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    evidence.registered.push_back(subject(i));
    if (drawn(evidence.draw, evidence.registered.back().span())) evidence.invited.push_back(evidence.registered.back());
  }
  return evidence;
}

ReleaseTerms terms_for(const CohortEvidence& evidence, double q) {
  ReleaseTerms terms;
  terms.rounding = {.clip = 1, .grid = 1.0 / 512, .dimension = 1 << 14};
  terms.members = evidence.invited.empty() ? 125 : static_cast<std::uint32_t>(evidence.invited.size());
  terms.survivors = terms.members - 5;
  terms.corrupt_max = 12;
  terms.share = *noise_share({3000, terms.members - 20, terms.corrupt_max});
  terms.sampling_chance = q;
  return terms;
}

constexpr double kQ = 1.0 / 16;

void check_refused(const Result<DpCharge>& charge, const char* because) {
  REQUIRE_FALSE(charge.has_value());
  CHECK_MESSAGE(charge.error().message.find(because) != std::string::npos, charge.error().message);
}

}  // namespace

TEST_CASE("ledger: a non-Poisson cohort that claims q < 1 is rejected") {
  CohortEvidence evidence = drawn_cohort();
  for (const auto kind : {CohortDraw::kFixedMembership, CohortDraw::kCheckIn, CohortDraw::kFixedSize}) {
    evidence.kind = kind;
    check_refused(charge_for(terms_for(evidence, kQ), evidence), "charge q = 1");
    check_refused(charge_for(terms_for(evidence, 0.999999), evidence), name_of(kind));
    const auto whole = charge_for(terms_for(evidence, 1), evidence);
    REQUIRE(whole.has_value());
    CHECK(whole->against_readers == whole->against_coordinator);
    // In the ledger's record: the claim is refused by whoever reads it.
    DpCharge forged = *whole;
    forged.terms.sampling_chance = kQ;
    forged.against_readers = poisson_sampled_rdp(whole->against_coordinator, kQ);
    const auto read = decode_charge(encode(forged));
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == ErrorCode::kCorrupted);
    CHECK(read.error().message.find("charge q = 1") != std::string::npos);
  }
}

TEST_CASE("ledger: a cohort drawn by a beacon is charged with its chance, against readers of the model only") {
  const CohortEvidence evidence = drawn_cohort();
  CHECK(evidence.invited.size() > 80);
  CHECK(evidence.invited.size() < 170);
  const auto charge = charge_for(terms_for(evidence, kQ), evidence);
  REQUIRE_MESSAGE(charge.has_value(), charge.error().message);
  CHECK(epsilon_of(charge->against_readers, 1e-6).epsilon < 0.5 * epsilon_of(charge->against_coordinator, 1e-6).epsilon);
  CHECK(check_cohort(*charge, evidence).has_value());
}

TEST_CASE("ledger: a draw that is not what it says is rejected") {
  const CohortEvidence good = drawn_cohort();
  check_refused(charge_for(terms_for(good, kQ / 2), good), "charge that");  // a lower q than the draw's
  CohortEvidence bad = good;
  bad.invited.pop_back();  // cut off: a capped cohort costs more
  check_refused(charge_for(terms_for(bad, kQ), bad), "is not in the roster");
  bad = good;
  for (const SubjectId& someone : good.registered)
    if (!drawn(good.draw, someone.span())) {
      bad.invited.push_back(someone);
      break;
    }
  check_refused(charge_for(terms_for(bad, kQ), bad), "was not drawn");
  bad = good;
  bad.registered.erase(std::find(bad.registered.begin(), bad.registered.end(), good.invited.front()));
  check_refused(charge_for(terms_for(bad, kQ), bad), "is not registered");
  bad = good;
  bad.invited.push_back(good.invited.front());
  check_refused(charge_for(terms_for(bad, kQ), bad), "named twice");
  bad = good;
  bad.draw.beacon = {};
  check_refused(charge_for(terms_for(bad, kQ), bad), "without a beacon");
  ReleaseTerms more = terms_for(good, kQ);
  ++more.members;
  check_refused(charge_for(more, good), "for " );
  for (const double q : {0.0, -1.0, 1.5, std::nan("")}) check_refused(charge_for(terms_for(good, q), good), "above 0");

  // The charge of one cohort is not that of another.
  const DpCharge charge = *charge_for(terms_for(good, kQ), good);
  bad = good;
  bad.draw.beacon.bytes[1] = 1;
  CHECK_FALSE(check_cohort(charge, bad).has_value());
  bad = good;
  bad.registered.push_back(subject(5000));
  CHECK_FALSE(check_cohort(charge, bad).has_value());
  bad = good;
  bad.invited.pop_back();
  CHECK_FALSE(check_cohort(charge, bad).has_value());
  bad = good;
  bad.kind = CohortDraw::kCheckIn;
  CHECK_FALSE(check_cohort(charge, bad).has_value());
}

TEST_CASE("ledger: a release with fewer survivors than its noise was planned for is rejected") {
  const CohortEvidence everybody;
  ReleaseTerms terms = terms_for(everybody, 1);
  terms.survivors = terms.share.contributors + terms.corrupt_max;
  CHECK(charge_for(terms, everybody).has_value());
  --terms.survivors;
  check_refused(charge_for(terms, everybody), "survivors");
  terms = terms_for(everybody, 1);
  terms.survivors = terms.members + 1;
  check_refused(charge_for(terms, everybody), "survivors");
  terms = terms_for(everybody, 1);
  terms.members = terms.survivors = kSecAggMembersMax + 1;
  check_refused(charge_for(terms, everybody), "members");
  terms = terms_for(everybody, 1);
  terms.share.variance.in_65536ths = 15 * kVarianceUnit;
  check_refused(charge_for(terms, everybody), "at least 4");
  terms.mechanism = NoiseMechanism::kSkellam;
  const auto skellam = charge_for(terms, everybody);
  REQUIRE(skellam.has_value());
  CHECK(skellam->total_variation > 0);
}

TEST_CASE("ledger: a charge is read back as written, and less than it costs is refused") {
  const CohortEvidence evidence = drawn_cohort();
  const DpCharge charge = *charge_for(terms_for(evidence, kQ), evidence);
  const Bytes bytes = encode(charge);
  CHECK(bytes.size() < 2560);
  const auto read = decode_charge(bytes);
  REQUIRE_MESSAGE(read.has_value(), read.error().message);
  CHECK(encode(*read) == bytes);
  CHECK(read->against_readers == charge.against_readers);
  CHECK(check_cohort(*read, evidence).has_value());
  // It fits the ledger's slot.
  ReleaseRecord record;
  record.charge = bytes;
  CHECK(decode_release_record(encode(record))->charge == bytes);

  for (std::size_t cut = 0; cut < bytes.size(); cut += 7) CHECK_FALSE(decode_charge(ByteSpan(bytes).first(cut)).has_value());
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_charge(longer).has_value());
  for (const std::size_t at : {0u, 1u, 2u}) {
    Bytes spoilt = bytes;
    spoilt[at] = 200;
    CHECK_FALSE(decode_charge(spoilt).has_value());
  }
  const auto refused = [](DpCharge forged) { return !decode_charge(encode(forged)).has_value(); };
  DpCharge forged = charge;
  forged.against_coordinator.values[40] *= 0.999;
  CHECK(refused(forged));
  forged = charge;
  forged.against_readers.values[3] = std::nan("");
  CHECK(refused(forged));
  forged = charge;
  forged.terms.share.variance.in_65536ths *= 2;  // more noise on paper: the curves are then too large, which is allowed
  CHECK_FALSE(refused(forged));
  forged.terms.share.variance.in_65536ths /= 4;  // less noise than the curves say
  CHECK(refused(forged));
  forged.terms.share.variance.in_65536ths = (std::uint64_t{1} << 56) + 1;  // one unit more than any sampler holds
  CHECK(refused(forged));
  forged = charge;
  forged.terms.rounding.clip = 2;
  CHECK(refused(forged));
  forged = charge;
  forged.terms.mechanism = NoiseMechanism::kSkellam;  // its table's flaw is not stated
  CHECK(refused(forged));
  forged = charge;
  forged.against_readers.values.assign(forged.against_readers.values.size(), std::numeric_limits<double>::infinity());
  CHECK_FALSE(refused(forged));
}

TEST_CASE("account: epsilon never decreases, stops at the budget, and is the same after a restart") {
  const CohortEvidence evidence = drawn_cohort();
  const DpCharge charge = *charge_for(terms_for(evidence, kQ), evidence);
  const PrivacyBudget budget{.delta = 1e-6, .epsilon_against_coordinator = 5, .epsilon_against_readers = 2};
  PrivacyAccount account(budget);
  CHECK(account.spent()->against_coordinator == 0);
  std::vector<Bytes> ledger;
  double last = 0;
  for (;;) {
    const auto spent = account.reserve(charge);
    if (!spent) {
      CHECK(spent.error().code == ErrorCode::kResourceExhausted);
      CHECK(spent.error().message.find("against the coordinator") != std::string::npos);
      break;
    }
    REQUIRE(spent->against_coordinator > last);
    REQUIRE(spent->against_coordinator <= 5);
    REQUIRE(spent->against_readers < spent->against_coordinator);
    last = spent->against_coordinator;
    ledger.push_back(encode(charge));
    REQUIRE(ledger.size() < 10'000);
  }
  CHECK(ledger.size() > 3);
  CHECK(account.spent()->releases == ledger.size());  // the refused one is not in it
  CHECK(account.spent()->against_coordinator == last);

  PrivacyAccount restarted(budget);
  for (const Bytes& record : ledger) restarted.replay(*decode_charge(record));
  CHECK(restarted.spent()->against_coordinator == last);
  CHECK(restarted.spent()->against_readers == account.spent()->against_readers);
  CHECK_FALSE(restarted.reserve(charge).has_value());
  restarted.replay(charge);  // what the ledger has counts, whatever the budget
  CHECK(restarted.spent()->against_coordinator > 5);

  // Killed at any step: what is durable is the ledger up to some record, and never less than what was told.
  double durable = 0;
  for (std::size_t kept = 1; kept <= ledger.size(); ++kept) {
    PrivacyAccount after(budget);
    for (std::size_t i = 0; i < kept; ++i) after.replay(*decode_charge(ledger[i]));
    REQUIRE(after.spent()->against_coordinator > durable);
    durable = after.spent()->against_coordinator;
  }
  CHECK(durable == last);

  PrivacyAccount readers({.delta = 1e-6, .epsilon_against_coordinator = 1e9, .epsilon_against_readers = 0.4});
  for (int i = 0; i < 10'000; ++i) {
    const auto spent = readers.reserve(charge);
    if (spent) continue;
    CHECK(spent.error().message.find("readers of the model") != std::string::npos);
    break;
  }
  CHECK(readers.spent()->releases < 10'000);
}

}  // namespace covey
