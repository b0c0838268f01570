// The end of a membership, renewals, and the one gate before the operator's verbs.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const Instant kEnd = kStart + 48h;

Identity brief(std::uint8_t n, Role role = Role::kClient) {
  return identity(n, "brief-" + std::to_string(n), role, kStart + 24h, kEnd);
}

void enrol(Driver& d, const Identity& id) {
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterToken{id.delegation})));
  d.from(id.one_time(), Enrol{id.certificate});
  REQUIRE(d.admitted.contains(id.key()));
}

void jump(Driver& d, Instant to) {  // without the heartbeats between
  d.now = to;
  d.deliver(TimerFired{"tick"});
}

std::string text_of_error(const OperatorAnswer& answer) { return std::get<Error>(answer).message; }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<OperatorVerb> every_verb() {
  const Identity other = identity(99, "other");
  std::vector<OperatorVerb> verbs{SubmitJob{1, blob_ref_of(bytes_of("x"))},
                                  ListJobs{},
                                  ShowJob{1, 0},
                                  ShowClients{1, 1, 0},
                                  ShowConfig{1},
                                  StopJob{1},
                                  ListNodes{},
                                  RegisterToken{other.delegation},
                                  RevokeNode{"client-0"},
                                  ReadJournal{},
                                  ListAudit{},
                                  ListLedger{},
                                  RegisterRenewal{renewal_of(other, kStart + 1000h, 1)},
                                  ListUnvouched{},
                                  IssueCredentials{{{other.key(), credential_for(other.certificate, authority())}}},
                                  PrepareKey{7702, 7703},
                                  RegisterKeyChange{},
                                  ShowWithdrawals{},
                                  RegisterWithdrawals{begin_epoch({}, authority()).value()}};
  REQUIRE(verbs.size() == std::variant_size_v<OperatorVerb>);
  for (std::size_t i = 0; i < verbs.size(); ++i) REQUIRE(verbs[i].index() == i);
  return verbs;
}

// Asks every verb as `id`: each is refused with `words`, and none has done anything.
void check_refused(Driver& d, const Identity& id, const std::string& words) {
  const std::vector<Row> before = d.store.scan("").value();
  std::uint64_t request = 1000;
  for (const OperatorVerb& verb : every_verb()) {
    d.from(id, OperatorRequest{++request, verb});
    const auto reply = d.last<OperatorReply>(id.key());
    REQUIRE(reply);
    REQUIRE(reply->id == request);
    const auto* error = std::get_if<Error>(&reply->answer);
    REQUIRE(error != nullptr);
    CHECK(error->code == ErrorCode::kPermissionDenied);
    CHECK_MESSAGE(has(error->message, words), error->message);
  }
  CHECK(d.store.scan("").value() == before);
  CHECK(d.served.empty());
}

}  // namespace

TEST_CASE("membership: ends at the tick after its day, and a join is refused with the date and the remedy") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  jump(d, kEnd - 1s);
  d.join(id);
  REQUIRE(d.last<JoinAccepted>(id.key()));
  jump(d, kEnd);
  const auto refused = d.last<JoinRefused>(id.key());
  REQUIRE(refused);
  CHECK(refused->retry_after == Duration::zero());
  CHECK(has(refused->error.message, iso8601(kEnd)));
  CHECK(has(refused->error.message, "covey renew brief-1"));
  CHECK(refused->ended == kEnd);  // the node judges by its own documents and clock whether that is so
  CHECK_FALSE(d.admitted.contains(id.key()));
  CHECK(d.expelled.at(id.key()) == Expulsion::kEnded);
  CHECK(d.logged("membership_ended") == 1);
  const std::size_t refusals = d.all<JoinRefused>(id.key()).size();
  d.join(id, 2);  // it was on its way
  CHECK(d.all<JoinRefused>(id.key()).size() == refusals + 1);
  CHECK(d.last<JoinRefused>(id.key())->ended == kEnd);
  jump(d, kEnd + 1h);
  CHECK(d.logged("membership_ended") == 1);
  d.expelled.clear();
  d.restart();
  CHECK_FALSE(d.admitted.contains(id.key()));
  CHECK(d.expelled.at(id.key()) == Expulsion::kEnded);
  CHECK(d.admitted.contains(boss().key()));
}

TEST_CASE("membership: a revocation says nothing of an end, to a member and to one that had ended") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  d.join(id);
  SUBCASE("a member") {
    d.from(boss(), OperatorRequest{1, RevokeNode{"brief-1"}});
    CHECK(d.last<JoinRefused>(id.key())->ended == Instant{});
  }
  SUBCASE("one that ended") {
    jump(d, kEnd);
    CHECK(d.expelled.at(id.key()) == Expulsion::kEnded);
    d.from(boss(), OperatorRequest{1, RevokeNode{"brief-1"}});
  }
  CHECK(d.expelled.at(id.key()) == Expulsion::kUnknown);
}

TEST_CASE("membership: a join between its end and the tick is refused too, whoever is linked") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  d.join(id);
  d.now = kEnd;
  d.join(id);
  CHECK(d.last<JoinRefused>(id.key()));
  CHECK(d.all<JoinAccepted>(id.key()).size() == 1);
}

TEST_CASE("membership: a clock that is set right lets in again whom the wrong time shut out") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  jump(d, kEnd + 1000h);
  CHECK_FALSE(d.admitted.contains(id.key()));
  jump(d, kStart + 1h);
  CHECK(d.admitted.contains(id.key()));
  d.join(id);
  CHECK(d.last<JoinAccepted>(id.key()));
}

TEST_CASE("membership: its end frees its part of the round, and what was delivered before counts") {
  Driver d(1);
  const Identity gone = brief(30), gave = brief(31);
  enrol(d, gone);
  enrol(d, gave);
  d.join_all();
  jump(d, kEnd - 2s);
  d.join_all();
  d.join(gone);
  d.join(gave);
  d.submit(job_text("[selection]\nmin_clients = 2\n[round]\nquorum = 0.3\n", 1));
  REQUIRE(d.offer_to(gone));
  d.deliver_update(gave);
  d.deliver_update(d.client(0));
  CHECK(d.job().round == 0);  // it waits for the third
  jump(d, kEnd);
  REQUIRE(d.job().round == 1);
  const auto metrics = std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics;
  CHECK(metrics.at(0).delivered == 2);
}

TEST_CASE("membership: one that ends in mid-round and is renewed takes part in the next") {
  Driver d(1);
  const Identity id = brief(30);
  enrol(d, id);
  jump(d, kEnd - 2s);
  d.join_all();
  d.join(id);
  d.submit(job_text("[round]\nquorum = 0.3\n[selection]\nmin_clients = 1\n", 2));
  REQUIRE(d.offer_to(id));
  jump(d, kEnd);
  d.deliver_update(d.client(0));
  REQUIRE(d.job().round == 1);
  d.ask(RegisterRenewal{renewal_of(id, kEnd + 1000h, 1)});
  d.join(id, 2, 2);
  d.deliver_update(d.client(0));  // the round that began without it
  REQUIRE(d.job().round == 2);
  CHECK(d.offer_to(id)->key.round == 3);  // the final evaluation
}

TEST_CASE("membership: ends while the coordinator is away; its update counts, and nobody waits for the other's") {
  Driver d(1);
  const Identity gone = brief(30), gave = brief(31);
  enrol(d, gone);
  enrol(d, gave);
  jump(d, kEnd - 2s);
  d.join_all();
  d.join(gone);
  d.join(gave);
  d.submit(job_text("[selection]\nmin_clients = 2\n[round]\nquorum = 0.3\n", 1));
  d.deliver_update(gave);
  d.deliver_update(d.client(0));
  REQUIRE(d.job().round == 0);
  SUBCASE("not frozen yet") {
    d.now = kEnd;
    d.restart();
  }
  SUBCASE("frozen") {
    d.hold_work = true;
    jump(d, kEnd);
    REQUIRE(chains_of(d).ledger.size() == 1);
    d.hold_work = false;
    d.restart();
  }
  CHECK_FALSE(d.admitted.contains(gave.key()));
  CHECK(d.job().round == 1);
  CHECK(chains_of(d).of(AuditKind::kAbandoned).empty());
  const auto detail = std::get<JobDetail>(d.ask(ShowJob{1, 0}));
  CHECK(detail.metrics.at(0).delivered == 2);
  CHECK(detail.metrics.at(0).attempt == 1);
}

TEST_CASE("membership: many ends at one tick are one line of the journal") {
  Driver d;
  for (std::uint8_t n = 1; n <= 8; ++n) enrol(d, brief(n));
  const std::size_t before = std::get<JournalRows>(d.ask(ReadJournal{})).rows.size();
  jump(d, kEnd);
  const auto rows = std::get<JournalRows>(d.ask(ReadJournal{})).rows;
  REQUIRE(rows.size() == before + 1);
  CHECK(has(rows.back().text, "and 3 more"));
}

TEST_CASE("membership: a token whose memberships are over, or last too long, is refused") {
  Driver d;
  const Identity over = identity(1, "over", Role::kClient, kStart + 24h, kStart);
  CHECK(has(text_of_error(d.ask(RegisterToken{over.delegation})), "--valid"));
  const Identity endless = identity(2, "endless", Role::kClient, kStart + 24h, kStart + kMembershipMax + 48h);
  CHECK(has(text_of_error(d.ask(RegisterToken{endless.delegation})), "ten years"));
  const Identity late = identity(3, "late", Role::kClient, kStart + 24h, kStart + 1h);
  d.ask(RegisterToken{late.delegation});
  jump(d, kStart + 2h);
  d.from(late.one_time(), Enrol{late.certificate});
  CHECK(has(d.last<EnrolRefused>(late.one_time().peer)->error.message, "ended at"));
  CHECK_FALSE(d.admitted.contains(late.key()));
}

TEST_CASE("renewal: lets a node stay, or come back without a new token, and is told and kept") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  d.join(id);
  const Renewal first = renewal_of(id, kEnd + 24h, 1);
  d.withhold_writes = true;
  d.ask(RegisterRenewal{first});
  CHECK_FALSE(d.last<MembershipRenewed>(id.key()));
  d.release_writes();
  CHECK(d.last<MembershipRenewed>(id.key())->renewal == first);  // linked: at once
  jump(d, kEnd);
  CHECK(d.admitted.contains(id.key()));
  jump(d, kEnd + 24h);
  CHECK_FALSE(d.admitted.contains(id.key()));

  const Renewal second = renewal_of(id, kEnd + 1000h, 2);
  CHECK(std::holds_alternative<Done>(d.ask(RegisterRenewal{second})));
  CHECK(d.admitted.contains(id.key()));
  CHECK(d.all<MembershipRenewed>(id.key()).size() == 1);  // not linked
  d.join(id, 2, 2);
  CHECK(d.last<MembershipRenewed>(id.key())->renewal == second);
  CHECK(d.all<MembershipRenewed>(id.key()).size() == 2);
  d.restart();
  CHECK(d.admitted.contains(id.key()));
  d.join(id, 2, 3);
  CHECK(d.all<MembershipRenewed>(id.key()).size() == 3);
  const auto nodes = std::get<NodeRows>(d.ask(ListNodes{}));
  for (const NodeSummary& row : nodes.rows) {
    if (row.key != id.key()) continue;
    CHECK(row.members_until == second.valid_until);
    CHECK(row.renewal == 2);
    CHECK(row.signing == id.certificate.signing);
  }
}

TEST_CASE("renewal: replayed, foreign, forged and senseless ones change nothing") {
  Driver d(1);
  const Identity id = brief(10);
  enrol(d, id);
  const Renewal old = renewal_of(id, kEnd + 1000h, 1), newest = renewal_of(id, kEnd + 2000h, 5);
  CHECK(std::holds_alternative<Done>(d.ask(RegisterRenewal{old})));
  CHECK(std::holds_alternative<Done>(d.ask(RegisterRenewal{newest})));
  const Bytes row = d.store.get("renewal/" + hex(id.key().span())).value().value();
  const std::size_t audited = chains_of(d).audit.size();

  CHECK(has(std::get<Done>(d.ask(RegisterRenewal{newest})).text, "already"));
  CHECK(std::get<Error>(d.ask(RegisterRenewal{old})).code == ErrorCode::kAlreadyExists);
  const auto refused = [&](const Renewal& renewal, const std::string& words) {
    const std::string text = text_of_error(d.ask(RegisterRenewal{renewal}));
    CHECK_MESSAGE(has(text, words), text);
  };
  refused(renewal_of(id, kEnd + 9000h, 4), "serial 4");
  refused(renewal_of(id, kEnd + 9000h, 5), "serial 5");
  refused(renewal_of(id, kEnd + 1500h, 6), "before its present end");
  refused(renewal_of(id, kStart, 6), "must lie after now");
  refused(renewal_of(id, kStart + kMembershipMax + 48h, 6), "ten years");
  refused(renewal_of(id, kEnd + 9000h, 6, key_of<SigningKey>(9, 9)), "not made by the authority");
  Renewal changed = renewal_of(id, kEnd + 9000h, 6);
  changed.valid_until += 1h;
  refused(changed, "not made by the authority");
  Renewal stolen = renewal_of(d.client(0), kEnd + 9000h, 6);
  stolen.curve = id.key();  // another's signature
  refused(stolen, "not for those of");
  refused(renewal_of(identity(77, "nobody"), kEnd + 9000h, 6), "no node has the key");
  d.ask(RevokeNode{"client-0"});
  refused(renewal_of(d.client(0), kEnd + 9000h, 6), "revoked");
  CHECK(d.store.get("renewal/" + hex(id.key().span())).value().value() == row);
  CHECK(chains_of(d).audit.size() == audited + 1);  // the revocation
}

TEST_CASE("renewal: is audited with who, until when and its serial") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  d.ask(RegisterRenewal{renewal_of(id, kEnd + 1000h, 7)});
  const AuditEntry act = chains_of(d).audit.back();
  CHECK(act.kind == AuditKind::kRenewed);
  CHECK(act.actor == boss().key());
  CHECK(act.who == id.key());
  CHECK(act.number == 7);
  CHECK(has(act.text, "client brief-1 until " + iso8601(kEnd + 1000h)));
}

TEST_CASE("renewal: rows that do not hold stop the start by name") {
  Driver d;
  const Identity id = brief(1);
  enrol(d, id);
  d.ask(RegisterRenewal{renewal_of(id, kEnd + 1000h, 7)});
  const std::vector<Row> rows = d.store.scan("").value();
  const std::string key = renewal_key(id.key());
  const auto start_with = [&](const std::string& at, const Bytes& value) {
    std::vector<Row> changed = rows;
    for (Row& row : changed)
      if (row.key == key) row = {at, value};
    return Coordinator::create(d.config(), changed);
  };
  const Renewal good = renewal_of(id, kEnd + 1000h, 7);
  CHECK(start_with(key, renewal_value(good)));
  Bytes shorter = renewal_value(good), longer = shorter;
  shorter.pop_back();
  longer.push_back(0);
  Renewal lengthened = good;
  lengthened.valid_until += 1h;
  Renewal unnumbered = renewal_of(id, kEnd + 1000h, 0);
  const std::vector<std::pair<std::string, Bytes>> bad{
      {key, shorter}, {key, longer}, {key, {}}, {key, renewal_value(lengthened)}, {key, renewal_value(unnumbered)},
      {key, renewal_value(renewal_of(boss(), kEnd, 1))}, {renewal_key(boss().key()), renewal_value(good)},
      {renewal_key(identity(50, "nobody").key()), renewal_value(good)}};
  for (const auto& [at, value] : bad) {
    const auto machine = start_with(at, value);
    REQUIRE_FALSE(machine);
    CHECK(machine.error().code == ErrorCode::kCorrupted);
    CHECK(has(machine.error().message, "renewal"));
  }
}

TEST_CASE("renewal: one laid beside the coordinator brings the only operator back") {
  Driver d;
  const Instant end = kStart + kMembershipMax;
  jump(d, end);
  CHECK_FALSE(d.admitted.contains(boss().key()));
  CHECK(has(text_of_error(d.ask(ListJobs{})), "covey renew boss"));
  d.config().renewals = {renewal_of(boss(), end + 1000h, 1, key_of<SigningKey>(9, 9))};
  d.restart();
  CHECK(d.logged("renewal_refused") == 1);
  CHECK_FALSE(d.admitted.contains(boss().key()));
  d.config().renewals = {renewal_of(boss(), end + 1000h, 1)};
  d.restart();
  CHECK(d.admitted.contains(boss().key()));
  CHECK(std::holds_alternative<JobRows>(d.ask(ListJobs{})));
  d.ask(RegisterRenewal{renewal_of(boss(), end + 2000h, 2)});
  d.restart();  // the older one still lies there
  CHECK(d.logged("renewal_refused") == 1);
  CHECK(std::get<NodeRows>(d.ask(ListNodes{})).rows.at(0).renewal == 2);
}

TEST_CASE("renewal: an operator that ended does not count as one that could still give orders") {
  Driver d;
  enrol(d, brief(1, Role::kOperator));
  CHECK(std::holds_alternative<Done>(d.ask(RevokeNode{"brief-1"})));
  enrol(d, brief(2, Role::kOperator));
  jump(d, kEnd);
  CHECK(has(text_of_error(d.ask(RevokeNode{"boss"})), "only operator"));
  CHECK(std::holds_alternative<Done>(d.ask(RevokeNode{"brief-2"})));
}

TEST_CASE("gate: no verb is served to a client, an aggregator, a stranger, a revoked or an ended operator") {
  Driver d(1);
  d.join_all();
  const Identity aggregator = identity(40, "tree-1", Role::kAggregator);
  const Identity revoked = identity(41, "former", Role::kOperator), ended = brief(42, Role::kOperator);
  for (const Identity& id : {aggregator, revoked, ended}) enrol(d, id);
  d.join(aggregator);
  d.ask(RevokeNode{"former"});
  SUBCASE("client") { check_refused(d, d.client(0), "has the role client"); }
  SUBCASE("aggregator") { check_refused(d, aggregator, "has the role aggregator"); }
  SUBCASE("stranger") { check_refused(d, identity(60, "stranger"), "is not enrolled"); }
  SUBCASE("revoked") { check_refused(d, revoked, "was revoked"); }
  SUBCASE("ended, before the tick") {
    d.now = kEnd;
    check_refused(d, ended, "covey renew brief-42");
  }
  SUBCASE("ended, after the tick") {
    jump(d, kEnd);
    check_refused(d, ended, "covey renew brief-42");
  }
}

TEST_CASE("gate: what an operator asked is not answered once its membership ended") {
  Driver d;
  const Identity other = brief(1, Role::kOperator);
  enrol(d, other);
  d.hold_fetches = true;
  const std::string text = job_text();
  const Bytes toml(text.begin(), text.end());
  d.now = kEnd - 1s;
  d.from(other, OperatorRequest{1, SubmitJob{1, blob_ref_of(toml)}});
  REQUIRE(d.held_fetches.size() == 1);
  d.now = kEnd;
  d.deliver(BlobFetched{d.held_fetches[0].ticket, d.held_fetches[0].blob, toml});
  CHECK(std::get<JobRows>(d.ask(ListJobs{})).rows.empty());
}

TEST_CASE("roles: an aggregator enrols and joins, and is never selected") {
  Driver d(1);
  const Identity aggregator = identity(40, "tree-1", Role::kAggregator);
  enrol(d, aggregator);
  d.join_all();
  d.join(aggregator);
  CHECK(d.last<JoinAccepted>(aggregator.key()));
  d.submit(job_text("[selection]\nmin_clients = 2\n"), 1);
  CHECK(d.count<RoundOffer>() == 0);
  d.ask(StopJob{1});
  d.submit(job_text("[selection]\nmin_clients = 1\n"), 2);
  CHECK(d.offer_to(d.client(0)));
  CHECK_FALSE(d.offer_to(aggregator));
}

}  // namespace covey
