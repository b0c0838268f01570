#include <cstdio>
#include <string>
#include <thread>

#include "bench/secagg/rows.h"
#include "core/service/spare_threads.h"
#include "privacy/secagg_server.h"

namespace covey::bench {
namespace {

constexpr std::uint32_t kMembers = 1000;
constexpr std::uint32_t kDropped = 100;
constexpr std::size_t kValues = 1'000'000;

SecAggConfig terms_of_round() {
  SecAggConfig c;
  c.stage = c.data_scope = "bench";
  c.members_min = c.members_max = kMembers;
  c.survivors_min = 700;
  c.corrupt_max = 100;
  c.gamma_millionths = c.dropout_millionths = 100'000;
  c.vectors = {{"update", 32, kValues}};
  return c;
}

struct People {
  RosterMessage roster;
  std::map<SubjectId, AgreementKey> keys;
};
People people_of(const SecAggConfig& config, const SigningKey& authority, SecureRandom& random) {
  People people;
  people.roster.sid = sid_of(config);
  for (std::uint32_t i = 0; i < kMembers; ++i) {
    const SigningKey key = SigningKey::generate(random);
    AgreementKey masking = AgreementKey::generate(random);
    RosterEntry e;
    e.credential.subject.bytes = {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    e.credential.key = key.public_key();
    sign(e.credential, authority);
    e.sealing_key = RistrettoKey::generate(random).public_key();
    e.masking_key = masking.public_key();
    e.has_aes = true;
    e.signature = key.sign(kJoinDomain, join_statement(e, people.roster.sid, hash_of(config)));
    people.keys.emplace(e.credential.subject, std::move(masking));
    people.roster.entries.push_back(e);
  }
  return people;
}

// What the server holds after R4: of every member that masked, the shares of those who answered.
SumRecovery recovery_of(const SecAggConfig& config, const std::shared_ptr<const SecAggCohort>& cohort, const People& people,
                     SecureRandom& random) {
  SumRecovery r{cohort, config.vectors, MemberSet(kMembers), MemberSet(kMembers), std::vector<Digest>(kMembers), config.corrupt_max, {}};
  for (std::uint32_t i = 0; i < kMembers; ++i) {
    r.maskers.insert(i);
    if (i % (kMembers / kDropped) != 0) r.survivors.insert(i);
  }
  for (std::uint32_t i = 0; i < kMembers; ++i) {
    SumRecovery::Item item{i, r.survivors.contains(i) ? ShareKind::kSelfMask : ShareKind::kMaskingKey, {}, {}};
    const Secret<32> secret = item.kind == ShareKind::kSelfMask ? Secret<32>::random(random)
                                                                : people.keys.at(cohort->entries()[i].credential.subject).secret().clone();
    r.commitments[i] = self_mask_commitment(cohort->id(), i, secret);
    std::vector<std::uint32_t> xs{i + 1};
    for (const std::uint32_t n : cohort->neighbours(i)) xs.push_back(n + 1);
    for (Share& share : deal(secret, cohort->graph().threshold, xs, random))
      if (r.survivors.contains(share.x - 1)) item.shares.push_back(std::move(share));
    r.items.push_back(std::move(item));
  }
  return r;
}

struct Verifying {
  double signatures = 0, ring = 0;  // seconds
};

// The joins and the credentials as the coordinator meets them when its joining phase ends, on all threads; and the ring's
// memory-hard order.
Verifying verify_all(const SecAggConfig& config, const SigningKey& authority, const People& people, PublicWork& work) {
  const Digest sid = sid_of(config), hash = hash_of(config);
  Verifying verifying;
  verifying.signatures = seconds_of([&] {
    std::vector<SignedClaim> claims;
    for (const RosterEntry& e : people.roster.entries) {
      claims.push_back(credential_claim(e, authority.public_key()));
      claims.push_back(join_claim(e, sid, hash));
    }
    for (const bool holds : work.all_verified(claims)) COVEY_CHECK(holds);
  });
  const AttemptId id{sid, root_of(sid, hash, people.roster)};
  verifying.ring = seconds_of([&] { (void)ring_order(id, kMembers); });
  return verifying;
}

}  // namespace

std::vector<Figure> secagg_unmask() {
  SystemRandom random;
  const SigningKey authority = SigningKey::generate(random);
  const SecAggConfig config = terms_of_round();
  const People people = people_of(config, authority, random);
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  SpareThreads spare(threads);
  const ShareWork share = [&spare](std::size_t count, const std::function<void(std::size_t)>& part) { spare.share(count, part); };
  spare.share(2, [](std::size_t) {});  // as in a coordinator that has had a round: its threads are there
  PublicWork work(PublicWork::Memory::kForget, share);
  const auto [signatures, ring] = verify_all(config, authority, people, work);
  const std::shared_ptr<const SecAggCohort> cohort = *work.cohort(config, authority.public_key(), people.roster);
  const SumRecovery recovery = recovery_of(config, cohort, people, random);
  WorkerPool pool(threads);
  MaskedSum sum(config.vectors);
  Recovered recovered = recover(recovery, pool);
  const double opening = seconds_of([&] { recovered = recover(recovery, pool); });
  const MaskWork masks{kValues / 2, recovered.plan.seeds.size(), threads};
  std::vector<double> ratios, times, floors;
  for (int run = 0; run < 3; ++run) {
    floors.push_back(cipher_seconds(masks) + addition_seconds(masks));
    times.push_back(seconds_of([&] { sum.unmask(recovered.plan, pool); }));
    ratios.push_back((times.back() + opening) / floors.back());
  }
  const double expanding = median(times);
  // The ring's order is none of the three, and no less a part of the round.
  const double counted = opening + signatures;
  const auto percent = [&](double scale) { return 100 * counted / (counted + ring + expanding * scale); };
  char beside[256], shares[320];
  std::snprintf(beside, sizeof beside, "opening %.2f s + %zu masks %.2f s, cipher + add %.2f s, %zu threads", opening,
                recovered.plan.seeds.size(), expanding, median(floors), threads);
  std::snprintf(shares, sizeof shares,
                "1000 joins' and 1000 credentials' signatures %.3f s, opening 1000 secrets and %zu keys %.3f s; of a round with masks "
                "%.2f s, all on %zu threads, and the ring's order %.3f s on one",
                signatures, recovered.plan.seeds.size() - (kMembers - kDropped), opening, expanding, threads, ring);
  return {at_most("server unmask: 1,000 clients, 10 % dropped, 1M", median(ratios), "times", 1.2, beside),
          at_most("server unmask: Shamir, signatures, keys at 1M", percent(1), "%", 5, shares),
          at_most("server unmask: Shamir, signatures, keys at 10M", percent(10), "%", 5, "masks scaled from 1M")};
}

}  // namespace covey::bench
