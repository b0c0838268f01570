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

}  // namespace covey
