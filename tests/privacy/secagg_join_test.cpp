// Who joins with keys that mean harm. Whatever joins the coordinator took, a roster is made of them that members take.
#include <doctest/doctest.h>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

JoinMessage join_of(SecAggWorld& world, std::uint32_t who) {
  const auto said = world.act(who, world.server_->invitation());
  REQUIRE(said.has_value());
  return std::get<JoinMessage>(*decode_secagg_message(said->front()));
}
bool takes(SecAggWorld& world, JoinMessage join, const SigningKey& key) {
  const SecAggConfig& config = world.server_->config();
  join.entry.signature = key.sign(kJoinDomain, join_statement(join.entry, sid_of(config), hash_of(config)));
  return world.server_->handle(encode(SecAggMessage(join))).has_value();
}
template <class To, class From>
void copy_key(To& to, const From& from) {
  std::copy(from.bytes.begin(), from.bytes.end(), to.bytes.begin());
}

// One change of a join for the worse, or none.
void spoil(JoinMessage& join, const std::vector<JoinMessage>& others, Random& random) {
  const RosterEntry& other = others[random.below(others.size())].entry;
  switch (random.below(9)) {
    case 0: copy_key(join.entry.masking_key, join.entry.sealing_key); return;
    case 1: copy_key(join.entry.sealing_key, join.entry.masking_key); return;
    case 2: copy_key(join.entry.masking_key, other.sealing_key); return;
    case 3: copy_key(join.entry.sealing_key, other.masking_key); return;
    case 4: join.entry.masking_key = other.masking_key; return;
    case 5: join.entry.sealing_key = other.sealing_key; return;
    case 6:  // of small order
      join.entry.masking_key = {};
      join.entry.masking_key.bytes[0] = static_cast<std::uint8_t>(random.below(2));
      return;
    case 7: copy_key(join.entry.masking_key, join.entry.credential.key); return;
    default: return;
  }
}

}  // namespace

TEST_CASE("a join with one key in both roles, its own or another's, is refused, and the roster is made without it") {
  WorldOptions options;
  options.members = 8;
  SecAggWorld world(options);
  world.config_.members_min = 6;
  world.begin();
  std::vector<JoinMessage> joins;
  for (std::uint32_t i = 0; i < 8; ++i) joins.push_back(join_of(world, i));
  JoinMessage own = joins[7];
  copy_key(own.entry.masking_key, own.entry.sealing_key);
  CHECK_FALSE(takes(world, own, world.people_[7]->key));
  for (std::uint32_t i = 0; i < 6; ++i) CHECK(takes(world, joins[i], world.people_[i]->key));
  JoinMessage crossed = joins[6];
  copy_key(crossed.entry.masking_key, joins[0].entry.sealing_key);
  CHECK_FALSE(takes(world, crossed, world.people_[6]->key));
  copy_key(joins[6].entry.masking_key, joins[7].entry.sealing_key);
  CHECK(takes(world, joins[6], world.people_[6]->key));          // of two that work together, the second is refused
  CHECK_FALSE(takes(world, joins[7], world.people_[7]->key));
  REQUIRE(world.server_->close_joins().has_value());
  CHECK(world.server_->cohort()->members() == 7);
}

TEST_CASE("whatever hostile joins are taken, the roster of them is one that every member takes") {
  std::size_t refused = 0, made = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    WorldOptions options;
    options.members = 10;
    options.seed = seed;
    SecAggWorld world(options);
    world.config_.members_min = 4;
    // Two keys for one subject, and two subjects with one key: an authority's mistake.
    auto& twice = *world.people_[8];
    twice.credential.subject = world.people_[random.below(8)]->credential.subject;
    sign(twice.credential, world.authority_);
    auto& same = *world.people_[9];
    const SigningKey& shared = world.people_[random.below(8)]->key;
    same.credential.key = shared.public_key();
    sign(same.credential, world.authority_);
    world.begin();
    std::vector<JoinMessage> joins;
    for (std::uint32_t i = 0; i < 10; ++i) joins.push_back(join_of(world, i));
    const std::vector<JoinMessage> sound = joins;
    for (JoinMessage& join : joins)
      if (random.below(2) == 0) spoil(join, sound, random);
    std::size_t taken = 0;
    for (int time = 0; time < 30; ++time) {
      const std::size_t who = random.below(10);
      if (takes(world, joins[who], who == 9 ? shared : world.people_[who]->key)) ++taken;
      else ++refused;
    }
    if (taken < 4) continue;
    CAPTURE(seed);
    const auto rosters = world.server_->close_joins();
    REQUIRE_MESSAGE(rosters.has_value(), rosters.error().message);
    const auto roster = std::get<RosterMessage>(*decode_secagg_message(rosters->front().message));
    CHECK(roster.entries.size() == taken);
    PublicWork fresh;
    CHECK(SecAggCohort::of(world.server_->config(), world.authority_.public_key(), roster, fresh).has_value());
    ++made;
  }
  CHECK(refused > 300);
  CHECK(made > 40);
}

TEST_CASE("joins that nobody vouched for, or that another signed, keep nobody out, and are in no roster") {
  for (const PublicWork::Memory memory : {PublicWork::Memory::kForget, PublicWork::Memory::kRemember}) {
    WorldOptions options;
    options.members = 7;
    options.memory = memory;
    SecAggWorld world(options);
    world.config_.members_min = 5;
    world.begin();
    std::vector<JoinMessage> joins;
    for (std::uint32_t i = 0; i < 7; ++i) joins.push_back(join_of(world, i));
    const auto enter = [&](const JoinMessage& join, const SigningKey& key) { return takes(world, join, key); };
    CHECK(enter(joins[1], world.people_[2]->key));  // signed by another: nobody has looked yet
    CHECK(enter(joins[1], world.people_[1]->key));  // and now somebody has
    CHECK_FALSE(enter(joins[1], world.people_[1]->key));
    JoinMessage bad = joins[2];
    bad.entry.credential.subject.bytes[15] = 77;  // another subject than was certified, with an honest member's keys
    CHECK(enter(bad, world.people_[2]->key));
    CHECK(enter(joins[2], world.people_[2]->key));
    bad = joins[0];
    sign(bad.entry.credential, world.people_[0]->key);  // certified by itself
    CHECK(enter(bad, world.people_[0]->key));
    for (const std::uint32_t i : {3U, 4U, 5U, 6U}) CHECK(enter(joins[i], world.people_[i]->key));
    CHECK(world.server_->joined() == 7);
    REQUIRE(world.server_->close_joins().has_value());
    CHECK(world.server_->cohort()->members() == 6);
    CHECK(world.server_->unsigned_joins().size() == 2);
    CHECK(world.server_->unsigned_joins().back() == joins[0].entry.credential.subject);
  }
}

TEST_CASE("many signatures at once: the same answers, and the same error of a roster, whoever shares the work") {
  WorldOptions options;
  options.members = 7;
  SecAggWorld world(options);
  world.join();
  const auto out = world.server_->close_joins();
  REQUIRE(out.has_value());
  const auto roster = std::get<RosterMessage>(*decode_secagg_message(out->front().message));
  const auto many = [&](const ShareWork& share) {
    std::vector<SignedClaim> claims;  // the same a hundred times over, and every seventh is wrong
    for (std::size_t i = 0; i < 700; ++i) {
      claims.push_back(join_claim(roster.entries[i % 7], roster.sid, hash_of(world.server_->config())));
      if (i % 7 == 0) claims.back().message.push_back(static_cast<std::uint8_t>(i));
    }
    PublicWork work(PublicWork::Memory::kForget, share);
    const std::vector<bool> first = work.all_verified(claims);
    CHECK(work.all_verified(claims) == first);  // from memory, where it held
    std::string errors;
    for (const std::size_t broken : {std::size_t{6}, std::size_t{3}}) {
      RosterMessage worse = roster;
      worse.entries[broken].signature.bytes[0] ^= 1;
      sign(worse.entries[5].credential, world.people_[0]->key);
      const auto made = SecAggCohort::of(world.server_->config(), world.authority_.public_key(), worse, work);
      REQUIRE_FALSE(made.has_value());
      errors += made.error().message + "\n";
    }
    return std::pair(first, errors);
  };
  const auto alone = many({});
  for (std::size_t i = 0; i < 700; ++i) CHECK(alone.first[i] == (i % 7 != 0));
  CHECK(alone.second.find("member 5's credential") != std::string::npos);
  CHECK(alone.second.find("member 3 did not sign") != std::string::npos);
  for (const std::size_t threads : {1, 2, 3}) {
    WorkerPool pool(threads);
    CHECK(many([&pool](std::size_t count, const std::function<void(std::size_t)>& part) { pool.share(count, part); }) == alone);
  }
}

}  // namespace covey
