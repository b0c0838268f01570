// Credentials for secure aggregation at the coordinator: who gets which, what it believes, what survives.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

MemberCredential credential_of(const Identity& id) { return credential_for(id.certificate, authority()); }
NodeCredential issue_of(const Identity& id) { return {id.key(), credential_of(id)}; }

std::vector<Certificate> unvouched(Driver& d, PeerKey after = {}) {
  return std::get<CertificateRows>(d.ask(ListUnvouched{after})).rows;
}

std::uint32_t epoch_of(Driver& d, const Identity& id) {
  const OperatorAnswer answer = d.ask(ListNodes{});
  for (const NodeSummary& node : std::get<NodeRows>(answer).rows)
    if (node.key == id.key()) return node.credential_epoch;
  FAIL("no such node");
  return 0;
}

void check_refused(Driver& d, const IssueCredentials& verb, ErrorCode code, const std::string& words) {
  const std::vector<Row> before = d.store.scan("").value();
  const OperatorAnswer answer = d.ask(verb);
  const auto* error = std::get_if<Error>(&answer);
  REQUIRE(error != nullptr);
  CHECK(error->code == code);
  CHECK_MESSAGE(error->message.find(words) != std::string::npos, error->message);
  CHECK(d.store.scan("").value() == before);
  CHECK(d.count<CredentialIssued>() == 0);
}

void enrol(Driver& d, const Identity& id) {
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterToken{id.delegation})));
  d.from(id.one_time(), Enrol{id.certificate});
  REQUIRE(d.last<EnrolAccepted>(id.one_time().peer));
}

}  // namespace

TEST_CASE("vouching: a client's credential is kept, audited, and told at once and with every join") {
  Driver d(3);
  d.join(d.client(0));
  const auto rows = unvouched(d);
  REQUIRE(rows.size() == 3);  // not the operator
  CHECK(std::is_sorted(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.curve < b.curve; }));
  for (const Certificate& row : rows) CHECK(verify(row, authority().public_key()).has_value());
  CHECK(epoch_of(d, d.client(0)) == 0);

  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0)), issue_of(d.client(1))}})));
  CHECK(d.last<CredentialIssued>(d.client(0).key()) == CredentialIssued{credential_of(d.client(0))});
  CHECK(d.all<CredentialIssued>(d.client(1).key()).empty());  // it is away
  d.join(d.client(1));
  CHECK(d.last<CredentialIssued>(d.client(1).key()) == CredentialIssued{credential_of(d.client(1))});
  CHECK(epoch_of(d, d.client(0)) == kCredentialEpochFirst);
  REQUIRE(unvouched(d).size() == 1);
  CHECK(unvouched(d)[0].curve == d.client(2).key());
  CHECK(unvouched(d, d.client(2).key()).empty());

  const auto acts = chains_of(d).of(AuditKind::kVouched);
  REQUIRE(acts.size() == 2);
  CHECK(acts[0].actor == boss().key());
  CHECK(acts[0].number == kCredentialEpochFirst);
  CHECK(d.logged("node_vouched") == 2);

  // Said again it does nothing, not even in the records.
  const std::vector<Row> before = d.store.scan("").value();
  CHECK(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0))}})));
  CHECK(d.store.scan("").value() == before);

  d.restart();
  d.join(d.client(0));
  CHECK(d.all<CredentialIssued>(d.client(0).key()).size() == 2);
  CHECK(epoch_of(d, d.client(1)) == kCredentialEpochFirst);
}

TEST_CASE("vouching: what is not the node's own credential of this epoch is refused, the whole page with it") {
  Driver d(2);
  d.join_all();
  const Identity stranger = identity(77, "stranger");
  const NodeCredential sound = issue_of(d.client(0));
  const auto with = [&](const NodeCredential& bad) { return IssueCredentials{{sound, bad}}; };

  check_refused(d, with({d.client(1).key(), credential_of(d.client(0))}), ErrorCode::kPermissionDenied, "not for that of");
  Certificate renamed = d.client(1).certificate;
  renamed.name = "client-0";
  check_refused(d, with({d.client(1).key(), credential_for(renamed, authority())}), ErrorCode::kPermissionDenied, "another subject");
  check_refused(d, with({d.client(1).key(), credential_for(d.client(1).certificate, authority(), kCredentialEpochFirst + 1)}),
                ErrorCode::kPermissionDenied, "epoch");
  check_refused(d, with({d.client(1).key(), credential_for(d.client(1).certificate, key_of<SigningKey>(22, 0))}),
                ErrorCode::kPermissionDenied, "authority");
  NodeCredential unsigned_one = issue_of(d.client(1));
  unsigned_one.credential.signature = {};
  check_refused(d, with(unsigned_one), ErrorCode::kPermissionDenied, "authority");
  check_refused(d, with(issue_of(stranger)), ErrorCode::kNotFound, "no node has the key");
  check_refused(d, with(issue_of(boss())), ErrorCode::kInvalidArgument, "operator");
  check_refused(d, IssueCredentials{}, ErrorCode::kInvalidArgument, "give 1 to");
  check_refused(d, IssueCredentials{std::vector<NodeCredential>(kVouchPageRowsMax + 1, sound)}, ErrorCode::kInvalidArgument, "give 1 to");
  CHECK(unvouched(d).size() == 2);
}

TEST_CASE("vouching: a credential ends with its node; replayed it is refused, also for a new node of the same name") {
  Driver d(2);
  const Identity old = d.client(0);
  d.join(old);
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(old)}})));
  REQUIRE(std::holds_alternative<Done>(d.ask(RevokeNode{"client-0"})));
  CHECK(epoch_of(d, old) == 0);
  CHECK_FALSE(d.store.get(credential_key(old.key())).value().has_value());
  d.sent.clear();
  check_refused(d, {{issue_of(old)}}, ErrorCode::kPermissionDenied, "revoked");
  REQUIRE(unvouched(d).size() == 1);

  const Identity heir = identity(60, "client-0");  // the site enrols again
  enrol(d, heir);
  d.join(heir);
  check_refused(d, {{{heir.key(), credential_of(old)}}}, ErrorCode::kPermissionDenied, "not for that of");
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(heir)}})));
  CHECK(d.last<CredentialIssued>(heir.key())->credential.subject == credential_of(old).subject);
  d.restart();
  CHECK(epoch_of(d, heir) == kCredentialEpochFirst);
  CHECK(epoch_of(d, old) == 0);
}

TEST_CASE("vouching: one name has one node, so one subject has one credential") {
  Driver d(1);
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0))}})));
  const Identity second = identity(60, "client-0");
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterToken{second.delegation})));
  d.from(second.one_time(), Enrol{second.certificate});
  CHECK(d.last<EnrolRefused>(second.one_time().peer));
  d.sent.clear();
  check_refused(d, {{issue_of(second)}}, ErrorCode::kNotFound, "no node has the key");
}

TEST_CASE("vouching: nothing leaves before it is durable, and a crash on either side of that leaves it whole") {
  for (const Crash how : {Crash::kBeforeWrites, Crash::kAfterWrites}) {
    Driver d(1);
    d.join_all();
    d.crash_how = how;
    d.crash_at_write = d.writes + 1;
    d.ask(IssueCredentials{{issue_of(d.client(0))}});
    REQUIRE_FALSE(d.alive());
    CHECK(d.count<CredentialIssued>() == 0);  // between the write and the word
    d.crash_at_write.reset();
    d.restart();
    d.join(d.client(0));
    const bool kept = how == Crash::kAfterWrites;
    CHECK(d.count<CredentialIssued>() == (kept ? 1 : 0));
    CHECK(epoch_of(d, d.client(0)) == (kept ? kCredentialEpochFirst : 0));
    CHECK(chains_of(d).of(AuditKind::kVouched).size() == (kept ? 1 : 0));
    CHECK(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0))}})));  // the operator asks again
    CHECK(epoch_of(d, d.client(0)) == kCredentialEpochFirst);
    CHECK(d.count<CredentialIssued>() == 1);
  }
  Driver d(1);
  d.join_all();
  d.withhold_writes = true;
  d.ask(IssueCredentials{{issue_of(d.client(0))}});
  CHECK(d.count<CredentialIssued>() == 0);
  d.release_writes();
  CHECK(d.count<CredentialIssued>() == 1);
}

TEST_CASE("vouching: certificates come in pages, each of which fits a control frame") {
  Driver d(80);
  std::vector<Certificate> all;
  std::vector<std::size_t> pages;
  do {
    const auto page = unvouched(d, all.empty() ? PeerKey{} : all.back().curve);
    pages.push_back(page.size());
    all.insert(all.end(), page.begin(), page.end());
  } while (pages.back() == kVouchPageRowsMax);
  CHECK(pages == std::vector<std::size_t>{32, 32, 16});
  std::set<PeerKey> keys;
  for (const Certificate& one : all) keys.insert(one.curve);
  CHECK(keys.size() == 80);
  IssueCredentials page;
  for (std::size_t i = 0; i < kVouchPageRowsMax; ++i) page.credentials.push_back(issue_of(d.client(i)));
  CHECK(std::holds_alternative<Done>(d.ask(page)));
  CHECK(chains_of(d).of(AuditKind::kVouched).size() == kVouchPageRowsMax);
}

TEST_CASE("vouching: one whose membership ended is not listed and gets none until it is renewed") {
  Driver d;
  const Identity brief = identity(1, "brief-1", Role::kClient, kStart + 24h, kStart + 48h);
  enrol(d, brief);
  CHECK(unvouched(d).size() == 1);
  d.now = kStart + 49h;
  d.deliver(TimerFired{"tick"});
  CHECK(unvouched(d).empty());
  check_refused(d, {{issue_of(brief)}}, ErrorCode::kPermissionDenied, "covey renew brief-1");
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterRenewal{renewal_of(brief, kStart + 1000h, 1)})));
  CHECK(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(brief)}})));
}

TEST_CASE("vouching: of a row, another epoch's counts no more and is replaced; a forged one stops the start") {
  Driver d(1);
  const Identity id = d.client(0);
  const auto put = [&](const MemberCredential& credential) {
    Batch batch;
    batch.put(credential_key(id.key()), credential_value(credential));
    REQUIRE(d.store.write(batch));
  };
  put(credential_for(id.certificate, authority(), kCredentialEpochFirst + 1));
  d.restart();
  CHECK(epoch_of(d, id) == 0);
  REQUIRE(unvouched(d).size() == 1);
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(id)}})));
  CHECK(epoch_of(d, id) == kCredentialEpochFirst);

  put(credential_for(id.certificate, key_of<SigningKey>(22, 0)));
  d.crash();
  const auto refused = Coordinator::create(d.config(), d.store.scan("").value());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kCorrupted);
  CHECK(refused.error().message.find(credential_key(id.key())) != std::string::npos);
}

namespace {

Withdrawals shown(Driver& d) { return std::get<WithdrawalsRow>(d.ask(ShowWithdrawals{})).list; }

void check_refused(Driver& d, const Withdrawals& list, const std::string& words) {
  const std::vector<Row> before = d.store.scan("").value();
  const OperatorAnswer answer = d.ask(RegisterWithdrawals{list});
  const auto* error = std::get_if<Error>(&answer);
  REQUIRE(error != nullptr);
  CHECK_MESSAGE(error->message.find(words) != std::string::npos, error->message);
  CHECK(d.store.scan("").value() == before);
}

}  // namespace

TEST_CASE("withdrawing: a new epoch ends every credential, also over a restart; those of it are told after the list") {
  Driver d(2);
  d.join_all();
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0)), issue_of(d.client(1))}})));
  CHECK(shown(d).number == 0);
  const Withdrawals next = begin_epoch({}, authority()).value();
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterWithdrawals{next})));
  CHECK(d.last<CredentialsWithdrawn>(d.client(0).key()) == CredentialsWithdrawn{next});
  CHECK(epoch_of(d, d.client(0)) == 0);
  CHECK(unvouched(d).size() == 2);
  const auto acts = chains_of(d).of(AuditKind::kWithdrawn);
  REQUIRE(acts.size() == 1);
  CHECK(acts[0].actor == boss().key());
  CHECK(acts[0].number == 1);
  CHECK(acts[0].subject == root_of(next));

  d.restart();
  CHECK(shown(d) == next);
  CHECK(unvouched(d).size() == 2);
  d.sent.clear();
  check_refused(d, {{issue_of(d.client(0))}}, ErrorCode::kPermissionDenied, "epoch");  // of the first
  const MemberCredential fresh = credential_for(d.client(0).certificate, authority(), 2);
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{{d.client(0).key(), fresh}}})));
  CHECK(epoch_of(d, d.client(0)) == 2);
  d.join(d.client(0));
  std::vector<std::string> told;
  for (const Send& send : d.sent)
    if (send.to.peer == d.client(0).key() && !std::holds_alternative<JoinAccepted>(send.message)) told.push_back(name_of(send.message));
  CHECK(told == std::vector<std::string>{"CredentialsWithdrawn", "CredentialIssued"});
}

TEST_CASE("withdrawing: a key on the list has no live credential, and gets none") {
  Driver d(2);
  d.join_all();
  REQUIRE(std::holds_alternative<Done>(d.ask(IssueCredentials{{issue_of(d.client(0)), issue_of(d.client(1))}})));
  const Withdrawals list = withdraw({}, d.client(0).certificate.signing, authority()).value();
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterWithdrawals{list})));
  CHECK(std::holds_alternative<Done>(d.ask(RegisterWithdrawals{list})));  // said again
  CHECK(epoch_of(d, d.client(0)) == 0);
  CHECK(epoch_of(d, d.client(1)) == kCredentialEpochFirst);
  d.sent.clear();
  check_refused(d, {{issue_of(d.client(0))}}, ErrorCode::kPermissionDenied, "withdrew");

  check_refused(d, Withdrawals{list.number, 1, {}, list.signature}, "not made by the authority");
  check_refused(d, withdraw({}, d.client(1).certificate.signing, authority()).value(), "not newer");
  Withdrawals shorter{9, 1, {}, {}};
  shorter.signature = authority().sign(kWithdrawalsDomain, signed_bytes(shorter));
  check_refused(d, shorter, "leaves out a key");
}

TEST_CASE("withdrawing: rows that are not the authority's stop the start") {
  Driver d(1);
  const Withdrawals forged = withdraw({}, d.client(0).certificate.signing, key_of<SigningKey>(22, 0)).value();
  Batch batch;
  batch.put(std::string(kWithdrawalsRow), withdrawals_value(forged));
  REQUIRE(d.store.write(batch));
  d.crash();
  const auto refused = Coordinator::create(d.config(), d.store.scan("").value());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kCorrupted);
}

}  // namespace covey
