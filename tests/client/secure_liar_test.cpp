// A coordinator that lies to real clients, in each of the ways of docs/secure_aggregation.md, section 6:
// the message is refused, nothing leaves, and the honest message is obeyed after it.
#include "tests/client/secure_cohort.h"

using namespace covey;

namespace {

template <class M>
M parsed(const Bytes& bytes) {
  return std::get<M>(*decode_secagg_message(bytes));
}
Bytes wire(const SecAggMessage& message) { return encode(message); }

// Every site refuses what it is told, writes nothing and says nothing.
void all_refuse(SecureCohort& cohort, const std::function<Bytes(std::uint32_t)>& lie) {
  for (std::uint32_t i = 0; i < cohort.sites.size(); ++i) {
    SecureSite& site = cohort.at(i);
    site.said.clear();
    site.log.clear();
    const std::vector<Row> before = site.rows;
    const std::set<Digest> published = site.published;
    site.hear(SecAggNote{cohort.offer.key, lie(i)});
    CHECK(site.said.empty());
    CHECK(site.rows == before);
    CHECK(site.published == published);
    CHECK(site.logged("aggregation_message_refused"));
  }
}
Bytes message_for(SecureCohort& cohort, const std::vector<Outgoing>& out, std::uint32_t site) {
  const std::uint32_t place = cohort.place_of(site);
  for (const Outgoing& o : out)
    if (std::find(o.to.begin(), o.to.end(), place) != o.to.end()) return o.message;
  FAIL("nothing is for this site");
  return {};
}
template <class M>
using Lies = std::vector<std::function<void(M&, std::uint32_t self)>>;
template <class M>
void each_is_refused(SecureCohort& cohort, const std::vector<Outgoing>& honest, const Lies<M>& lies) {
  for (std::size_t lie = 0; lie < lies.size(); ++lie) {
    CAPTURE(lie);
    all_refuse(cohort, [&](std::uint32_t site) {
      M m = parsed<M>(message_for(cohort, honest, site));
      lies[lie](m, cohort.place_of(site));
      return wire(m);
    });
  }
}

}  // namespace

TEST_CASE("secure liar: rosters") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto honest = cohort.server->close_joins();
  REQUIRE(honest.has_value());
  each_is_refused(cohort, *honest, Lies<RosterMessage>{
      [](RosterMessage& r, std::uint32_t self) { r.entries.erase(r.entries.begin() + self); },  // its own entry is gone
      [](RosterMessage& r, std::uint32_t self) { r.entries[self].masking_key.bytes[3] ^= 1; },    // or changed
      [](RosterMessage& r, std::uint32_t self) { r.entries[(self + 1) % 5].masking_key.bytes[3] ^= 1; },
      [](RosterMessage& r, std::uint32_t self) { r.entries[(self + 1) % 5].credential.signature.bytes[3] ^= 1; },
      [](RosterMessage& r, std::uint32_t self) { r.entries[(self + 1) % 5].signature.bytes[3] ^= 1; },
      [](RosterMessage& r, std::uint32_t self) { r.entries[(self + 1) % 5] = r.entries[(self + 2) % 5]; },
      [](RosterMessage& r, std::uint32_t) { std::swap(r.entries[0], r.entries[1]); },
      [](RosterMessage& r, std::uint32_t self) { r.entries = std::vector<RosterEntry>{r.entries[self]}; },
      [](RosterMessage& r, std::uint32_t) { r.sid.bytes[0] ^= 1; },
  });
  cohort.send(honest);
  cohort.carry();
  cohort.confirm();
  cohort.mask();
  cohort.agree();
  cohort.check_exact();
}

TEST_CASE("secure liar: sybils that no authority vouched for") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto honest = cohort.server->close_joins();
  REQUIRE(honest.has_value());
  const SigningKey pretender = SigningKey::generate(cohort.bytes);
  const Digest sid = sid_of(cohort.server->config());
  all_refuse(cohort, [&](std::uint32_t site) {
    RosterMessage roster = parsed<RosterMessage>((*honest)[0].message);
    const RosterEntry own = roster.entries[cohort.place_of(site)];
    roster.entries = {own};
    for (int i = 0; i < 4; ++i) {
      const SigningKey key = SigningKey::generate(cohort.bytes);
      RosterEntry sybil;
      sybil.credential = {subject_of("sybil-" + std::to_string(i)), kCredentialEpochFirst, key.public_key(), {}};
      sign(sybil.credential, pretender);
      sybil.sealing_key = RistrettoKey::generate(cohort.bytes).public_key();
      sybil.masking_key = AgreementKey::generate(cohort.bytes).public_key();
      sybil.has_aes = true;
      sybil.signature = key.sign(kJoinDomain, join_statement(sybil, sid, hash_of(cohort.server->config())));
      roster.entries.push_back(sybil);
    }
    std::sort(roster.entries.begin(), roster.entries.end(),
              [](const auto& a, const auto& b) { return a.credential.subject < b.credential.subject; });
    return wire(roster);
  });
}

TEST_CASE("secure liar: a revoked node's credential, shown after the authority withdrew it") {
  SecureCohort cohort;
  const Withdrawals list = withdraw({}, cohort.at(4).credential.key, cohort.authority).value();
  for (std::uint32_t i = 0; i < 4; ++i) cohort.at(i).hear(CredentialsWithdrawn{list});
  // It hides the list: the four hold it, and decline what goes by none. They are asked again soon.
  cohort.offer_all();
  REQUIRE(cohort.declined.size() == 4);
  CHECK(cohort.declined.at(0).reason == DeclineReason::kBusy);
  CHECK(cohort.declined.at(0).text.find("newest this member knows") != std::string::npos);

  // It names the list, as it must, and seats the node all the same, which goes along.
  cohort.options_.change = [&](SecAggConfig& config) { config.revocation_root = root_of(list); };
  cohort.declined.clear();
  cohort.begin(secure_offer(1, 2));
  for (std::uint32_t i = 0; i < 4; ++i) cohort.at(i).hear(cohort.offer);
  cohort.carry();
  CHECK(cohort.declined.empty());
  Bytes join;  // the revoked node's, by a machine that checks nothing of its own
  {
    SecAggConfig config = cohort.server->config();
    const SigningKey& key = *cohort.at(4).config.signing;
    RosterEntry entry;
    entry.credential = cohort.at(4).credential;
    entry.sealing_key = RistrettoKey::generate(cohort.bytes).public_key();
    entry.masking_key = AgreementKey::generate(cohort.bytes).public_key();
    entry.has_aes = true;
    entry.signature = key.sign(kJoinDomain, join_statement(entry, sid_of(config), hash_of(config)));
    join = wire(JoinMessage{sid_of(config), entry});
  }
  cohort.tell_server(join);
  REQUIRE(cohort.server_refusals.empty());
  const auto lying = cohort.server->close_joins();
  REQUIRE(lying.has_value());
  for (std::uint32_t i = 0; i < 4; ++i) {
    SecureSite& site = cohort.at(i);
    site.said.clear();
    site.log.clear();
    site.hear(SecAggNote{cohort.offer.key, (*lying)[0].message});
    REQUIRE(site.said.size() == 1);  // that it declines, and nothing of the attempt
    CHECK(site.all_said<RoundDecline>().at(0).reason == DeclineReason::kBusy);
    CHECK(site.all_said<RoundDecline>()[0].text.find("the authority withdrew (list 1)") != std::string::npos);
    CHECK(site.logged("aggregation_message_refused"));
  }
}

TEST_CASE("secure liar: a list that comes after the invitation counts for the roster") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto honest = cohort.server->close_joins();
  REQUIRE(honest.has_value());
  const Withdrawals list = withdraw({}, cohort.at(4).credential.key, cohort.authority).value();
  for (std::uint32_t i = 0; i < 4; ++i) {
    SecureSite& site = cohort.at(i);
    site.hear(CredentialsWithdrawn{list});
    site.said.clear();
    site.log.clear();
    site.hear(SecAggNote{cohort.offer.key, (*honest)[0].message});
    REQUIRE(site.said.size() == 1);
    CHECK(site.all_said<RoundDecline>().at(0).reason == DeclineReason::kBusy);
    CHECK(site.logged("aggregation_message_refused"));
  }
}

TEST_CASE("secure liar: a credential epoch below the highest one that was seen, also after a restart") {
  SecureCohort cohort;
  const Withdrawals list = begin_epoch({}, cohort.authority).value();
  for (auto& site : cohort.sites) {
    site->hear(CredentialsWithdrawn{list});
    site->credential = credential_for(*site->config.certificate, cohort.authority, 2);
    site->hear(CredentialIssued{site->credential});
  }
  cohort.offer_all();
  REQUIRE(cohort.declined.size() == 5);
  CHECK(cohort.declined.at(0).text.find("credential epoch 1 is below 2") != std::string::npos);
  cohort.declined.clear();
  cohort.at(0).crash();
  cohort.at(0).start();
  cohort.begin(secure_offer(1, 2));
  cohort.offer_all();
  REQUIRE(cohort.declined.size() == 5);
  CHECK(cohort.declined.at(0).text.find("credential epoch 1 is below 2") != std::string::npos);

  cohort.declined.clear();
  cohort.options_.change = [&](SecAggConfig& config) {
    config.credential_epoch = 2;
    config.revocation_root = root_of(list);
  };
  cohort.begin(secure_offer(1, 3));
  cohort.whole_round();
  CHECK(cohort.declined.empty());
  cohort.check_exact();
}

TEST_CASE("secure liar: a roster that comes too late may be one of many that were tried") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto honest = cohort.server->close_joins();
  REQUIRE(honest.has_value());
  for (const auto& site : cohort.sites) site->now += 301s;
  all_refuse(cohort, [&](std::uint32_t) { return (*honest)[0].message; });
}

TEST_CASE("secure liar: deliveries") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  const auto honest = cohort.server->close_shares();
  REQUIRE(honest.has_value());
  each_is_refused(cohort, *honest, Lies<DeliveryMessage>{
      [](DeliveryMessage& m, std::uint32_t) { m.id.root.bytes[0] ^= 1; },
      [](DeliveryMessage& m, std::uint32_t) { m.shares.back().dealer = 77; },
      [](DeliveryMessage& m, std::uint32_t) { std::swap(m.shares[0], m.shares[1]); },
  });
  cohort.send(honest);
  cohort.carry();
  cohort.mask();
  cohort.agree();
  cohort.check_exact();
}

TEST_CASE("secure liar: edges stripped") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  const auto honest = cohort.server->close_shares();
  REQUIRE(honest.has_value());
  // Site 2 is not given what two of the others sealed for it, and is told to mask with them all the same.
  DeliveryMessage less = parsed<DeliveryMessage>(message_for(cohort, *honest, 2));
  less.shares.resize(2);
  for (std::uint32_t i = 0; i < 5; ++i) cohort.note(i, i == 2 ? wire(less) : message_for(cohort, *honest, i));
  cohort.carry();
  const auto order = cohort.server->close_confirmations();
  REQUIRE(order.has_value());
  SecureSite& site = cohort.at(2);
  site.said.clear();
  site.log.clear();
  cohort.note(2, (*order)[0].message);
  CHECK(site.logged("aggregation_message_refused"));
  CHECK_FALSE(site.masked.has_value());
  CHECK(site.said.empty());
  CHECK(site.state_of(sid_of(cohort.server->config())) == AttemptState::kJoined);
}

TEST_CASE("secure liar: orders to mask") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  cohort.confirm();
  const auto honest = cohort.server->close_confirmations();
  REQUIRE(honest.has_value());
  const Lies<MaskOrderMessage> another{[](MaskOrderMessage& m, std::uint32_t self) { m.maskers.remove((self + 1) % 5); }};
  each_is_refused(cohort, *honest, Lies<MaskOrderMessage>{
      [](MaskOrderMessage& m, std::uint32_t self) { m.maskers.remove(self); },
      [](MaskOrderMessage& m, std::uint32_t self) { m.maskers.remove((self + 1) % 5), m.maskers.remove((self + 2) % 5); },
      [](MaskOrderMessage& m, std::uint32_t) { m.maskers = MemberSet(7); },
      [](MaskOrderMessage& m, std::uint32_t) { m.id.root.bytes[0] ^= 1; },
  });
  for (const auto& site : cohort.sites) CHECK_FALSE(site->masked.has_value());
  cohort.send(honest);
  each_is_refused(cohort, *honest, another);  // no vector is masked twice
  for (std::uint32_t i = 0; i < 5; ++i) cohort.at(i).fire("deliver");
  cohort.carry();
  each_is_refused(cohort, *honest, another);
  cohort.agree();
  cohort.check_exact();
}

TEST_CASE("secure liar: survivors") {
  SecureCohort cohort;
  cohort.until_masked();
  const auto honest = cohort.server->close_masks(Digest{{77}});
  REQUIRE(honest.has_value());
  each_is_refused(cohort, *honest, Lies<SurvivorsMessage>{
      [](SurvivorsMessage& m, std::uint32_t self) { m.survivors.remove(self); },
      [](SurvivorsMessage& m, std::uint32_t self) { m.survivors.remove((self + 1) % 5), m.survivors.remove((self + 2) % 5); },
      [](SurvivorsMessage& m, std::uint32_t) { m.survivors = MemberSet(9); },
      [](SurvivorsMessage& m, std::uint32_t) { m.neighbours.pop_back(); },
      [](SurvivorsMessage& m, std::uint32_t) { m.neighbours[1].masked.bytes[0] ^= 1; },
      [](SurvivorsMessage& m, std::uint32_t) { m.neighbours[1].signature.bytes[0] ^= 1; },
      [](SurvivorsMessage& m, std::uint32_t) { m.id.sid.bytes[0] ^= 1; },
  });
  cohort.send(honest);
  cohort.carry();
  cohort.check_exact();
}

TEST_CASE("secure liar: split views of who survived open nothing") {
  SecureCohort cohort;
  cohort.until_masked();
  const auto honest = cohort.server->close_masks(Digest{{77}});
  REQUIRE(honest.has_value());
  // Half are told that everyone survived, half that one did not: two statements, and no quorum for either.
  std::vector<VoteMessage> votes;
  const std::uint32_t left_out = cohort.place_of(4);
  for (std::uint32_t i = 0; i < 5; ++i) {
    SecureSite& site = cohort.at(i);
    SurvivorsMessage m = parsed<SurvivorsMessage>(message_for(cohort, *honest, i));
    if (i < 2) {
      m.survivors.remove(left_out);
      std::erase_if(m.neighbours, [&](const NeighbourMasked& n) { return n.member == left_out; });
    }
    site.said.clear();
    cohort.note(i, wire(m));
    REQUIRE(site.all_noted<VoteMessage>().size() == 1);
    votes.push_back(site.all_noted<VoteMessage>()[0]);
    site.said.clear();
    cohort.note(i, message_for(cohort, *honest, i));
    if (i < 2) CHECK(site.said.empty());  // the other view is not signed as well
  }
  std::sort(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.member < b.member; });
  OutcomeMessage outcome{cohort.server->cohort()->id(), Verdict::kCommit, {}};
  for (const VoteMessage& vote : votes) outcome.signatures.push_back({vote.member, vote.signature});
  const auto refused_with = [&](const std::function<void(OutcomeMessage&)>& change) {
    OutcomeMessage told = outcome;
    change(told);
    all_refuse(cohort, [&](std::uint32_t) { return wire(told); });
  };
  refused_with([](OutcomeMessage&) {});
  refused_with([](OutcomeMessage& m) { m.signatures.resize(3); });
  refused_with([](OutcomeMessage& m) { m.signatures.clear(); });
  refused_with([](OutcomeMessage& m) { m.verdict = Verdict::kAbort; });
  // Nothing is revealed, so each may still sign the ABORT; whatever is made of the votes opens nothing then.
  for (std::uint32_t i = 0; i < 5; ++i) {
    SecureSite& site = cohort.at(i);
    CHECK(site.state_of(outcome.id.sid) == AttemptState::kVotedCommit);
    site.said.clear();
    cohort.note(i, wire(AbortRequestMessage{outcome.id}));
    REQUIRE(site.all_noted<VoteMessage>().size() == 1);
    CHECK(site.all_noted<VoteMessage>()[0].verdict == Verdict::kAbort);
    CHECK(site.state_of(outcome.id.sid) == AttemptState::kVotedAbort);
  }
  refused_with([](OutcomeMessage&) {});
}

TEST_CASE("secure liar: who revealed its shares of one outcome reveals no others") {
  SecureCohort cohort;
  cohort.until_masked();
  const auto honest = cohort.server->close_masks(Digest{{77}});
  REQUIRE(honest.has_value());
  cohort.send(honest);
  cohort.carry();
  REQUIRE(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  each_is_refused(cohort, *honest, Lies<SurvivorsMessage>{
      [](SurvivorsMessage& m, std::uint32_t self) { m.survivors.remove((self + 1) % 5); }});
  all_refuse(cohort, [&](std::uint32_t) {
    OutcomeMessage other = *cohort.server->certificate();
    other.signatures.pop_back();
    return wire(other);
  });
  cohort.check_exact();
}

TEST_CASE("secure liar: messages of an earlier attempt are of no use in the next") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto roster = cohort.server->close_joins();
  REQUIRE(roster.has_value());
  cohort.send(roster);
  cohort.carry();
  const auto delivery = cohort.server->close_shares();
  REQUIRE(delivery.has_value());
  std::vector<Bytes> old{cohort.server->invitation(), (*roster)[0].message};
  for (const Outgoing& o : *delivery) old.push_back(o.message);
  for (const auto& site : cohort.sites) {
    site->hear(RoundClosed{cohort.offer.key, false, ""});
    site->said.clear();
  }
  cohort.begin(secure_offer(1, 2));
  cohort.offer_all();
  CHECK(cohort.server->joined() == 5);
  const auto replay = [&] {
    for (const Bytes& message : old) all_refuse(cohort, [&](std::uint32_t) { return message; });
  };
  replay();
  cohort.share();
  replay();
  cohort.confirm();
  cohort.mask();
  replay();
  cohort.agree();
  cohort.check_exact();
}

TEST_CASE("secure liar: what only members send, and what is no message, is refused") {
  SecureCohort cohort;
  cohort.offer_all();
  for (const Bytes& noise : {Bytes{}, Bytes{1}, Bytes(1000, 7), wire(VoteMessage{}), wire(UnmaskMessage{}), wire(JoinMessage{})})
    all_refuse(cohort, [&](std::uint32_t) { return noise; });
}

TEST_CASE("secure liar: of seeds that are asked for again and again, of other members each time, one answer is kept") {
  SecureCohort cohort({8, [](SecAggConfig& c) { c.dropout_millionths = 300'000; }});
  cohort.offer_all(), cohort.share(), cohort.confirm();
  cohort.silent = {6, 7};
  cohort.mask(), cohort.agree();
  REQUIRE(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  SecureSite& site = cohort.at(0);
  const auto request = [&](std::uint32_t dealer) {
    MemberSet dealers(8);
    dealers.insert(cohort.place_of(dealer));
    return SecAggNote{cohort.offer.key, wire(SeedsRequestMessage{cohort.server->cohort()->id(), dealers})};
  };
  site.said.clear();
  site.now += 10s;
  // What is kept is said again now and then; what is not, is answered anew.
  for (int time = 0; time < 3; ++time)
    for (const std::uint32_t dealer : {6U, 7U}) site.hear(request(dealer));
  CHECK(site.all_noted<PairSeedsMessage>().size() == 6);
  site.said.clear();
  for (int time = 0; time < 5; ++time) site.hear(request(7));
  CHECK(site.all_noted<PairSeedsMessage>().size() == 1);
}
