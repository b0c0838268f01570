// A coordinator that lies. Whatever it sends, no honest member's unmasking shares leave, or only those of
// one agreed outcome.
#include <doctest/doctest.h>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

using Who = std::set<std::uint32_t>;
std::set<std::uint32_t> nobody(Stop) { return {}; }

template <class M>
M parsed(const Bytes& bytes) {
  return std::get<M>(*decode_secagg_message(bytes));
}
bool reveals(const Bytes& message) { return std::holds_alternative<UnmaskMessage>(*decode_secagg_message(message)); }
Bytes wire(const SecAggMessage& message) { return encode(message); }

WorldOptions seven() {
  WorldOptions options;
  options.members = 7;
  return options;
}
struct Told {
  std::size_t accepted = 0;
  std::size_t revealed = 0;
};
// Sends each member what the liar chose for it.
Told tell(SecAggWorld& world, const std::function<Bytes(std::uint32_t)>& message, std::vector<Bytes>* said = nullptr) {
  Told told;
  for (std::uint32_t i = 0; i < world.people_.size(); ++i) {
    const auto answers = world.act(i, message(i));
    if (!answers) continue;
    ++told.accepted;
    for (const Bytes& answer : *answers) {
      told.revealed += reveals(answer) ? 1 : 0;
      if (said != nullptr) said->push_back(answer);
    }
  }
  return told;
}
// The survivors' messages as the honest coordinator would send them, by member.
std::vector<Bytes> survivors_messages(SecAggWorld& world) {
  std::vector<Bytes> messages(world.people_.size());
  const auto out = world.server_->close_masks(world.reservation_);
  REQUIRE(out.has_value());
  for (const Outgoing& o : *out)
    for (const std::uint32_t to : o.to) messages[to] = o.message;
  return messages;
}
OutcomeMessage certificate_of(const AttemptId& id, Verdict verdict, const std::vector<Bytes>& votes) {
  OutcomeMessage outcome{id, verdict, {}};
  for (const Bytes& bytes : votes) {
    const auto vote = parsed<VoteMessage>(bytes);
    outcome.signatures.push_back({vote.member, vote.signature});
  }
  return outcome;
}

TEST_CASE("altered key, model hash or config in roster: abort before R1") {
  const std::function<void(RosterMessage&)> changes[] = {
      [](RosterMessage& r) { r.entries[3].masking_key.bytes[4] ^= 1; },
      [](RosterMessage& r) { r.entries[3].sealing_key.bytes[4] ^= 1; },
      [](RosterMessage& r) { r.entries[3].nonce.bytes[4] ^= 1; },
      [](RosterMessage& r) { r.entries[3].has_aes = false; },
      [](RosterMessage& r) { r.entries[3].signature.bytes[4] ^= 1; },
      [](RosterMessage& r) { r.entries[3].credential.signature.bytes[4] ^= 1; },
      [](RosterMessage& r) { r.entries[3].credential.epoch = 1; },
      [](RosterMessage& r) { r.sid.bytes[0] ^= 1; },
      [](RosterMessage& r) { std::swap(r.entries[3], r.entries[4]); },
      [](RosterMessage& r) { r.entries[3] = r.entries[4]; },
      [](RosterMessage& r) { r.entries.erase(r.entries.begin() + 3); },
  };
  for (const auto& change : changes) {
    SecAggWorld world(seven());
    world.join();
    const auto out = world.server_->close_joins();
    REQUIRE(out.has_value());
    auto roster = parsed<RosterMessage>((*out)[0].message);
    change(roster);
    CHECK(tell(world, [&](std::uint32_t) { return wire(roster); }).accepted == 0);
    for (auto& person : world.people_) CHECK(person->client->phase() == SecAggClient::Phase::kJoined);
  }
  // The model or a term differs from member to member: their joins do not sign the same terms.
  SecAggWorld world(seven());
  world.config_.members_min = 5;
  world.begin();
  for (std::uint32_t i = 0; i < 7; ++i) {
    auto invite = parsed<InviteMessage>(world.server_->invitation());
    if (i == 6) invite.config.gamma_millionths -= 1;
    const auto joins = world.act(i, wire(invite));
    REQUIRE(joins.has_value());
    // Each is signed for the sid, which has no terms in it; that is looked at with all the signatures.
    REQUIRE(world.server_->handle((*joins)[0]).has_value());
  }
  REQUIRE(world.server_->close_joins().has_value());
  CHECK(world.server_->cohort()->members() == 6);
  CHECK(world.server_->unsigned_joins() == std::vector<SubjectId>{world.people_[6]->credential.subject});
}

TEST_CASE("own roster entry byte-exact: a sound roster of the others alone is refused by the one it lacks") {
  SecAggWorld world(seven());
  world.config_.members_min = 5;
  world.begin();
  world.join();
  const auto out = world.server_->close_joins();
  auto roster = parsed<RosterMessage>((*out)[0].message);
  roster.entries.erase(roster.entries.begin() + 2);
  for (std::uint32_t i = 0; i < 7; ++i) {
    const auto answer = world.act(i, wire(roster));
    CHECK(answer.has_value() == (i != 2));
    if (i == 2) CHECK(answer.error().message.find("own entry") != std::string::npos);
  }
}

TEST_CASE("an invitation for another model, stage, scope, layout or round is refused") {
  const std::function<void(SecAggConfig&)> changes[] = {
      [](SecAggConfig& c) { c.model.bytes[9] ^= 1; },   [](SecAggConfig& c) { c.stage = "other"; },
      [](SecAggConfig& c) { c.data_scope = "other"; },  [](SecAggConfig& c) { c.vectors[0].values += 1; },
      [](SecAggConfig& c) { c.vectors[0].width = 16; }, [](SecAggConfig& c) { c.vectors.pop_back(); },
      [](SecAggConfig& c) { c.round += 1; },            [](SecAggConfig& c) { c.training.bytes[0] ^= 1; },
      [](SecAggConfig& c) { c.task.bytes[0] ^= 1; },
  };
  for (const auto& change : changes) {
    SecAggWorld world(seven());
    auto invite = parsed<InviteMessage>(world.server_->invitation());
    change(invite.config);
    CHECK_FALSE(world.act(0, wire(invite)).has_value());
    CHECK(world.people_[0]->disk.empty());
    CHECK(world.act(0, world.server_->invitation()).has_value());
  }
}

TEST_CASE("a member's own floors and ceilings stand against any invitation") {
  const std::function<void(SecAggWorld&)> changes[] = {
      [](SecAggWorld& w) { w.config_.corrupt_max = 0; },
      [](SecAggWorld& w) { w.config_.sigma = 79; },
      [](SecAggWorld& w) { w.config_.members_min = 2, w.config_.corrupt_max = 1; },
      [](SecAggWorld& w) { w.config_.survivors_min = 2; },
      [](SecAggWorld& w) { w.config_.survivors_min = 3; },  // honest_min is 3, A is 1
      [](SecAggWorld& w) { w.config_.dropout_millionths = 300'001; },
      [](SecAggWorld& w) { w.policy_.local_noise_min = 0.5; },
      [](SecAggWorld& w) { w.policy_.epsilon_max = 1; },
      [](SecAggWorld& w) { w.policy_.gamma_min_millionths = 200'000; },
      [](SecAggWorld& w) { w.policy_.epoch_min = 1; },
      [](SecAggWorld& w) { w.policy_.withdrawals.number = 1; },
      [](SecAggWorld& w) { w.config_.revocation_root = sha256({}); },
      [](SecAggWorld& w) { w.config_.beacon = sha256({}); },
      [](SecAggWorld& w) { w.config_.draw_chance_2_64 = 1; },
      [](SecAggWorld& w) { w.config_.gamma_millionths = 200'000; },  // of seven: A is not 1
  };
  for (const auto& change : changes) {
    SecAggWorld world(seven());
    change(world);
    world.policy_.members_min = 3;
    const auto answer = world.act(0, wire(InviteMessage{world.config_}));
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code != ErrorCode::kInternal);
    CHECK(world.people_[0]->disk.empty());
  }
  SecAggWorld world(seven());
  world.policy_.pinned = {world.people_[0]->credential.key};
  world.join();
  const auto out = world.server_->close_joins();
  CHECK(tell(world, [&](std::uint32_t) { return (*out)[0].message; }).accepted == 0);
}

TEST_CASE("a roster that comes too late is refused, and so is anything after the attempt's time") {
  SecAggWorld world(seven());
  world.join();
  const auto out = world.server_->close_joins();
  world.now_ += std::chrono::seconds(301);
  CHECK(tell(world, [&](std::uint32_t) { return (*out)[0].message; }).accepted == 0);

  SecAggWorld slow(seven());
  REQUIRE(slow.run(nobody, Stop::kMask).has_value());
  const auto survivors = survivors_messages(slow);
  slow.now_ += std::chrono::hours(3);
  CHECK(tell(slow, [&](std::uint32_t i) { return survivors[i]; }).accepted == 0);
  for (auto& person : slow.people_) CHECK(person->client->phase() == SecAggClient::Phase::kClosed);
}

TEST_CASE("two rosters for one sid: shares fail AEAD (root in AAD); no certificate; no unmask") {
  WorldOptions options = seven();
  SecAggWorld world(options);
  world.config_.members_min = 5;
  world.begin();
  world.join();
  const auto out = world.server_->close_joins();
  const auto full = parsed<RosterMessage>((*out)[0].message);
  auto less = full;
  less.entries.erase(less.entries.begin());  // without member 0
  std::vector<SharesMessage> shares;
  for (std::uint32_t i = 0; i < 7; ++i) {
    const auto answers = world.act(i, wire(i < 4 ? full : less));
    REQUIRE(answers.has_value());
    shares.push_back(parsed<SharesMessage>((*answers)[0]));
  }
  CHECK(shares[1].id.root != shares[5].id.root);
  // Members 0-3 get everything that was sealed for them, from either roster.
  std::vector<Bytes> said;
  for (std::uint32_t to = 0; to < 4; ++to) {
    DeliveryMessage delivery{shares[0].id, {}};
    for (std::uint32_t from = 0; from < 7; ++from) {
      if (from == to) continue;
      const std::size_t slot = from < 4 ? (to < from ? to : to - 1) : (to - 1 < from - 1 ? to - 1 : to - 2);
      if (from < 4 || to > 0) delivery.shares.push_back({from, shares[from].sealed[slot]});
    }
    const auto answers = world.act(to, wire(delivery));
    REQUIRE(answers.has_value());
    CHECK(parsed<ConfirmMessage>((*answers)[0]).complaints.size() == (to == 0 ? 0 : 3));
  }
  MemberSet everyone(7), four(7);
  for (std::uint32_t i = 0; i < 7; ++i) everyone.insert(i);
  for (std::uint32_t i = 0; i < 4; ++i) four.insert(i);
  CHECK(tell(world, [&](std::uint32_t) { return wire(MaskOrderMessage{shares[0].id, everyone}); }).accepted == 0);
  // Only among themselves: four of seven are no quorum and too few neighbours.
  CHECK(tell(world, [&](std::uint32_t) { return wire(MaskOrderMessage{shares[0].id, four}); }, &said).accepted == 4);
  SurvivorsMessage survivors{shares[0].id, four, {}, {}};
  CHECK(tell(world, [&](std::uint32_t i) {
          survivors.neighbours.clear();
          for (std::uint32_t j = 0; j < 4; ++j) {
            const auto masked = parsed<MaskedMessage>(said[j]);
            if (j != i) survivors.neighbours.push_back({j, masked.masked, masked.signature});
          }
          return wire(survivors);
        }).accepted == 0);
}

TEST_CASE("U2 split (omit honest edge for one client): neighbours refuse; no unmask") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kConfirm).has_value());
  const auto orders = world.server_->close_confirmations();
  const auto order = parsed<MaskOrderMessage>((*orders)[0].message);
  auto stripped = order;
  stripped.maskers.remove(1);
  std::vector<Bytes> said;
  CHECK(tell(world, [&](std::uint32_t i) { return wire(i == 0 ? stripped : order); }, &said).accepted == 7);
  std::vector<Bytes> votes;
  for (const bool with_one : {true, false}) {
    const Told told = tell(world, [&](std::uint32_t i) {
      SurvivorsMessage m{order.id, with_one ? order.maskers : stripped.maskers, {}, {}};
      for (std::uint32_t j = 0; j < 7; ++j) {
        const auto masked = parsed<MaskedMessage>(said[j]);
        if (j != i && m.survivors.contains(j)) m.neighbours.push_back({j, masked.masked, masked.signature});
      }
      return wire(m);
    }, &votes);
    CHECK(told.accepted == 0);
  }
  CHECK(votes.empty());
}

TEST_CASE("edge stripping: a surviving neighbour's signature left out, or another's in its place") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const auto honest = survivors_messages(world);
  const std::function<void(SurvivorsMessage&)> changes[] = {
      [](SurvivorsMessage& m) { m.neighbours.pop_back(); },
      [](SurvivorsMessage& m) { m.neighbours[2].signature = m.neighbours[3].signature; },
      [](SurvivorsMessage& m) { m.neighbours[2].masked.bytes[0] ^= 1; },
      [](SurvivorsMessage& m) { m.neighbours[0] = m.neighbours[1], m.neighbours.erase(m.neighbours.begin() + 1); },
      [](SurvivorsMessage& m) { m.survivors.remove(6); },
      [](SurvivorsMessage& m) { m.id.root.bytes[0] ^= 1; },
      [](SurvivorsMessage& m) { m.survivors = MemberSet(6); },
  };
  for (const auto& change : changes)
    CHECK(tell(world, [&](std::uint32_t i) {
            auto m = parsed<SurvivorsMessage>(honest[i]);
            change(m);
            return wire(m);
          }).accepted == 0);
  CHECK(tell(world, [&](std::uint32_t i) { return honest[i]; }).accepted == 7);
}

TEST_CASE("two U3 bitmaps: no second signature; at most one certificate") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const auto full = survivors_messages(world);
  const auto without_six = [&](std::uint32_t i) {
    auto m = parsed<SurvivorsMessage>(full[i]);
    m.survivors.remove(6);
    std::erase_if(m.neighbours, [](const NeighbourMasked& n) { return n.member == 6; });
    return wire(m);
  };
  std::vector<Bytes> votes;
  const Told first = tell(world, [&](std::uint32_t i) { return i < 4 ? full[i] : without_six(i); }, &votes);
  CHECK(first.accepted == 6);  // 6 is not among its own survivors
  CHECK(votes.size() == 6);
  CHECK(tell(world, [&](std::uint32_t i) { return i < 4 ? without_six(i) : full[i]; }, &votes).accepted == 1);
  CHECK(votes.size() == 7);  // that was 6, which had signed nothing
  // Five signatures would make a certificate: there are five for one outcome at most, never for both.
  const AttemptId id = world.server_->cohort()->id();
  std::vector<Bytes> small(votes.begin() + 4, votes.begin() + 6);
  CHECK(tell(world, [&](std::uint32_t) { return wire(certificate_of(id, Verdict::kCommit, small)); }).revealed == 0);
  auto mixed = certificate_of(id, Verdict::kCommit, votes);
  CHECK(tell(world, [&](std::uint32_t) { return wire(mixed); }).revealed == 0);
}

TEST_CASE("a certificate needs Q distinct committee signatures on exactly this outcome") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const auto survivors = survivors_messages(world);
  std::vector<Bytes> votes;
  tell(world, [&](std::uint32_t i) { return survivors[i]; }, &votes);
  const AttemptId id = world.server_->cohort()->id();
  const auto good = certificate_of(id, Verdict::kCommit, votes);
  const std::function<void(OutcomeMessage&)> changes[] = {
      [](OutcomeMessage& m) { m.signatures.resize(4); },
      [](OutcomeMessage& m) { m.signatures[1] = m.signatures[0]; },
      [](OutcomeMessage& m) { m.signatures[2].signature.bytes[3] ^= 1; },
      [](OutcomeMessage& m) { m.signatures[6].member = 99; },
      [](OutcomeMessage& m) { m.verdict = Verdict::kAbort; },
      [](OutcomeMessage& m) { m.id.sid.bytes[0] ^= 1; },
      [](OutcomeMessage& m) { std::swap(m.signatures[0].signature, m.signatures[1].signature); },
  };
  for (const auto& change : changes) {
    auto bad = good;
    change(bad);
    const Told told = tell(world, [&](std::uint32_t) { return wire(bad); });
    CHECK(told.accepted == 0);
  }
  CHECK(tell(world, [&](std::uint32_t) { return wire(good); }).revealed == 7);
}

TEST_CASE("same j in both lists; second R4: refuse; zero further shares") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const auto survivors = survivors_messages(world);
  std::vector<Bytes> votes, revealed;
  tell(world, [&](std::uint32_t i) { return survivors[i]; }, &votes);
  const AttemptId id = world.server_->cohort()->id();
  const Bytes certificate = wire(certificate_of(id, Verdict::kCommit, votes));
  CHECK(tell(world, [&](std::uint32_t) { return certificate; }, &revealed).revealed == 7);
  for (const Bytes& bytes : revealed) {  // each dealer once, so never both of its secrets
    const auto message = parsed<UnmaskMessage>(bytes);
    CHECK(message.shares.size() == 7);
    for (const RevealedShare& s : message.shares) CHECK(s.kind == ShareKind::kSelfMask);
  }
  CHECK(tell(world, [&](std::uint32_t) { return certificate; }).accepted == 0);
  CHECK(tell(world, [&](std::uint32_t i) {
          auto m = parsed<SurvivorsMessage>(survivors[i]);
          m.survivors.remove((i + 1) % 7);
          return wire(m);
        }).accepted == 0);
  CHECK(tell(world, [&](std::uint32_t) { return wire(AbortRequestMessage{id}); }).accepted == 0);
  for (auto& person : world.people_) {
    CHECK(person->book.find(id.sid)->state == AttemptState::kUnmasked);
    CHECK_FALSE(person->book.unmask(id.sid).has_value());
  }
}

TEST_CASE("replay old sid, R1 or R4; swap recipients: AEAD/sid reject; no state change") {
  WorldOptions earlier = seven();
  earlier.seed = 2;
  SecAggWorld old(earlier);
  REQUIRE(old.run(nobody, Stop::kMask).has_value());
  const auto old_survivors = survivors_messages(old);
  SecAggWorld world(seven());
  world.join();
  const auto out = world.server_->close_joins();
  std::vector<Bytes> shares;
  tell(world, [&](std::uint32_t) { return (*out)[0].message; }, &shares);
  for (const Bytes& s : shares) REQUIRE(world.server_->handle(s).has_value());
  const auto deliveries = world.server_->close_shares();
  REQUIRE(deliveries.has_value());
  // Sealed for another: everything in it is complained about, nothing is held.
  auto swapped = parsed<DeliveryMessage>((*deliveries)[1].message);
  std::erase_if(swapped.shares, [](const DeliveredShares& d) { return d.dealer == 0; });
  for (DeliveredShares& d : swapped.shares) CHECK(d.dealer != 1);
  const auto answers = world.act(0, wire(swapped));
  REQUIRE(answers.has_value());
  CHECK(parsed<ConfirmMessage>((*answers)[0]).complaints.size() == swapped.shares.size());
  // Messages of the other attempt change nothing.
  CHECK(tell(world, [&](std::uint32_t i) { return old_survivors[i]; }).accepted == 0);
  auto of_old = parsed<DeliveryMessage>((*deliveries)[2].message);
  of_old.id = old.server_->cohort()->id();
  CHECK_FALSE(world.act(2, wire(of_old)).has_value());
  CHECK(world.people_[2]->client->phase() == SecAggClient::Phase::kShared);
  CHECK(world.act(2, (*deliveries)[2].message).has_value());
  CHECK_FALSE(world.act(2, (*deliveries)[2].message).has_value());
}

TEST_CASE("U3 within U2 within the roster, and self in all of them") {
  SecAggWorld world(seven());
  REQUIRE(world.run([](Stop stop) { return stop == Stop::kConfirm ? Who{6} : Who{}; }, Stop::kConfirm).has_value());
  const auto orders = world.server_->close_confirmations();
  const auto order = parsed<MaskOrderMessage>((*orders)[0].message);
  const std::function<void(MaskOrderMessage&)> changes[] = {
      [](MaskOrderMessage& m) { m.maskers = MemberSet(8); },
      [](MaskOrderMessage& m) { m.maskers = MemberSet(7), m.maskers.insert(0), m.maskers.insert(1); },
      [](MaskOrderMessage& m) { m.id.root.bytes[1] ^= 1; },
  };
  for (const auto& change : changes) {
    auto bad = order;
    change(bad);
    CHECK_FALSE(world.act(0, wire(bad)).has_value());
  }
  auto selfless = order;
  selfless.maskers.remove(0);
  CHECK_FALSE(world.act(0, wire(selfless)).has_value());
  CHECK(world.people_[0]->book.find(order.id.sid)->masked == false);
  world.carry(*orders);
  for (std::uint32_t i = 0; i < 6; ++i) REQUIRE(world.arrive(i));
  const auto survivors = survivors_messages(world);
  auto more = parsed<SurvivorsMessage>(survivors[0]);
  more.survivors.insert(6);
  CHECK(world.act(0, wire(more)).error().message.find("not among the maskers") != std::string::npos);
  auto less = parsed<SurvivorsMessage>(survivors[0]);
  less.survivors.remove(0);
  CHECK_FALSE(world.act(0, wire(less)).has_value());
}

TEST_CASE("survivors below minimum, or one window at w-1: every client refuses") {
  WorldOptions options;
  options.members = 160;
  options.corrupt_max = 4;
  options.dropout_millionths = 200'000;
  options.survivors_min = 100;
  options.vectors = {{"update", 16, 4}};
  SecAggWorld world(options);
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const SecAggCohort& cohort = *world.server_->cohort();
  const Graph& graph = cohort.graph();
  const MemberSet all = world.server_->maskers();
  MemberSet window = all;
  for (std::uint32_t at = graph.window - 1; at < graph.degree / 2; ++at) window.remove(cohort.ring()[at]);
  REQUIRE(window.count() >= cohort.survivors_needed());  // so that only the window is short
  CHECK_FALSE(cohort.every_window_holds(window));
  MemberSet enough = window;
  enough.insert(cohort.ring()[graph.window - 1]);
  CHECK(cohort.every_window_holds(enough));
  MemberSet few = all;
  for (std::uint32_t i = 0, gone = 160 - cohort.survivors_needed() + 1; i < gone; ++i) few.remove(cohort.ring()[i * 4]);
  for (std::uint32_t i = 0; i < 160; ++i) {
    const SurvivorsMessage short_window{cohort.id(), window, {}, {}};
    const SurvivorsMessage too_few{cohort.id(), few, {}, {}};
    const SurvivorsMessage unsigned_by_anyone{cohort.id(), enough, {}, {}};
    if (window.contains(i)) CHECK(world.act(i, wire(short_window)).error().message.find("close together") != std::string::npos);
    if (few.contains(i)) CHECK(world.act(i, wire(too_few)).error().message.find("are needed") != std::string::npos);
    if (enough.contains(i)) CHECK(world.act(i, wire(unsigned_by_anyone)).error().message.find("missing") != std::string::npos);
  }
}

TEST_CASE("messages that members send are refused by members, and the other way round") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const AttemptId id = world.server_->cohort()->id();
  CHECK_FALSE(world.act(0, wire(VoteMessage{id, Verdict::kCommit, 0, {}})).has_value());
  CHECK_FALSE(world.act(0, wire(JoinMessage{})).has_value());
  CHECK_FALSE(world.server_->handle(wire(AbortRequestMessage{id})).has_value());
  CHECK_FALSE(world.server_->handle(wire(InviteMessage{world.config_})).has_value());
  CHECK_FALSE(world.server_->handle({}).has_value());
}

}  // namespace
}  // namespace covey
