// Members that lie, and what a member remembers: complaints, wrong shares, sybils, retries, restarts.
#include <doctest/doctest.h>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

std::set<std::uint32_t> nobody(Stop) { return {}; }
template <class M>
M parsed(const Bytes& bytes) {
  return std::get<M>(*decode_secagg_message(bytes));
}
Bytes wire(const SecAggMessage& message) { return encode(message); }
WorldOptions seven() {
  WorldOptions options;
  options.members = 7;
  return options;
}
// What a liar changed must still carry its signature.
void sign_again(const SecAggWorld& world, SharesMessage& m) {
  m.signature = world.people_[m.member]->key.sign(
      kSharesDomain, shares_statement(m.id, m.member, m.commitment, merkle_root(m.sealed)));
}
void sign_again(const SecAggWorld& world, UnmaskMessage& m) {
  m.signature = world.people_[m.member]->key.sign(kUnmaskDomain, unmask_statement(m));
}
void sign_again(const SecAggWorld& world, ConfirmMessage& m) {
  m.signature = world.people_[m.member]->key.sign(kConfirmDomain, confirm_statement(m));
}

// Runs to R1 with `dealer` sealing what `spoil` makes of its shares.
void share(SecAggWorld& world, std::uint32_t dealer, const std::function<void(SharesMessage&)>& spoil) {
  world.join();
  const auto rosters = world.server_->close_joins();
  for (std::uint32_t i = 0; i < world.people_.size(); ++i) {
    const auto answers = world.act(i, (*rosters)[0].message);
    REQUIRE(answers.has_value());
    auto shares = parsed<SharesMessage>((*answers)[0]);
    if (i == dealer) {
      spoil(shares);
      sign_again(world, shares);
    }
    REQUIRE(world.server_->handle(wire(shares)).has_value());
  }
}
void finish(SecAggWorld& world) {
  const auto orders = world.server_->close_confirmations();
  REQUIRE(orders.has_value());
  world.carry(*orders);
  for (std::uint32_t i = 0; i < world.people_.size(); ++i)
    if (world.server_->maskers().contains(i)) REQUIRE(world.arrive(i));
  const auto survivors = world.server_->close_masks({});
  REQUIRE(survivors.has_value());
  world.carry(*survivors);
}

TEST_CASE("a dealer of shares that do not open is named by a complaint and left out; the rest is exact") {
  WorkerPool pool(1);
  SecAggWorld world(seven());
  share(world, 3, [](SharesMessage& m) { m.sealed[5].bytes[60] ^= 1; });
  const auto deliveries = world.server_->close_shares();
  world.carry(*deliveries);
  REQUIRE(world.server_->blame().size() == 1);
  CHECK(world.server_->blame()[0].member == 3);
  // The proof stands for anyone who knows the terms and the authority, and for nothing else.
  REQUIRE(world.server_->evidence().size() == 1);
  const EvidenceMessage evidence = world.server_->evidence()[0];
  PublicWork work;
  const auto holds = [&](const EvidenceMessage& e) {
    return check_evidence(e, world.server_->config(), world.authority_.public_key(), work).has_value();
  };
  CHECK(holds(evidence));
  CHECK(parsed<EvidenceMessage>(wire(evidence)) == evidence);
  const std::function<void(EvidenceMessage&)> changes[] = {
      [](EvidenceMessage& e) { e.leaf.bytes[0] ^= 1; },        [](EvidenceMessage& e) { e.path[1].bytes[0] ^= 1; },
      [](EvidenceMessage& e) { e.path.pop_back(); },           [](EvidenceMessage& e) { e.leaf_place ^= 1; },
      [](EvidenceMessage& e) { e.dealer_place = 4; },          [](EvidenceMessage& e) { e.receiver_place = 4; },
      [](EvidenceMessage& e) { e.complaint.proof.bytes[40] ^= 1; }, [](EvidenceMessage& e) { e.complaint.leaf.bytes[0] ^= 1; },
      [](EvidenceMessage& e) { e.complaint.shared = e.dealer.sealing_key; }, [](EvidenceMessage& e) { e.commitment.bytes[0] ^= 1; },
      [](EvidenceMessage& e) { std::swap(e.dealer, e.receiver); }, [](EvidenceMessage& e) { e.id.sid.bytes[0] ^= 1; },
  };
  for (const auto& change : changes) {
    EvidenceMessage bad = evidence;
    change(bad);
    CHECK_FALSE(holds(bad));
  }
  finish(world);
  CHECK_FALSE(world.server_->maskers().contains(3));
  CHECK(world.server_->survivors().count() == 6);
  CHECK(*world.sum_is_exact(pool));
}

TEST_CASE("nobody is convicted by a complaint about shares that open, nor without a proof") {
  for (const bool proven : {true, false}) {
    WorkerPool pool(1);
    SecAggWorld world(seven());
    share(world, 0, [](SharesMessage&) {});
    const auto deliveries = world.server_->close_shares();
    for (const Outgoing& o : *deliveries) {
      const std::uint32_t to = o.to[0];
      auto delivery = parsed<DeliveryMessage>(o.message);
      const SealedShares good = delivery.shares[0].sealed;
      if (to == 2) delivery.shares[0].sealed.bytes[0] ^= 1;  // so that its machine makes a proof
      auto answers = world.act(to, wire(delivery));
      REQUIRE(answers.has_value());
      auto confirm = parsed<ConfirmMessage>((*answers)[0]);
      if (to == 2) {
        REQUIRE(confirm.complaints.size() == 1);
        confirm.complaints[0].leaf = leaf_hash(good);
        if (!proven) confirm.complaints[0].proof = {};
        sign_again(world, confirm);
      }
      REQUIRE(world.server_->handle(wire(confirm)).has_value());
    }
    REQUIRE(world.server_->blame().size() == 1);
    CHECK(world.server_->blame()[0].member == 2);
    CHECK(world.server_->evidence().empty());
  }
}

// Votes for everyone, then reveals with `spoil` applied to each unmasking message.
void reveal(SecAggWorld& world, const std::function<void(UnmaskMessage&)>& spoil) {
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const auto survivors = world.server_->close_masks({});
  std::vector<Outgoing> certificate;
  for (const Outgoing& o : *survivors)
    for (const std::uint32_t to : o.to) {
      const auto votes = world.act(to, o.message);
      for (const Bytes& vote : *votes) {
        auto reply = world.server_->handle(vote);
        REQUIRE(reply.has_value());
        for (Outgoing& out : *reply) certificate.push_back(std::move(out));
      }
    }
  REQUIRE(certificate.size() == 1);
  for (const std::uint32_t to : certificate[0].to) {
    const auto answers = world.act(to, certificate[0].message);
    REQUIRE(answers.has_value());
    auto message = parsed<UnmaskMessage>((*answers)[0]);
    spoil(message);
    sign_again(world, message);
    (void)world.server_->handle(wire(message));
  }
}

TEST_CASE("one wrong share: commitment mismatch, corrected, its holder named; too many: never the sum") {
  WorkerPool pool(2);
  WorldOptions options;
  options.members = 12;
  for (const std::uint32_t liars : {1U, 2U, 3U}) {  // t is 8 here: (12 - t) / 2 = 2 can be corrected
    SecAggWorld world(options);
    REQUIRE(graph_of(world.config_, 12)->threshold == 8);
    reveal(world, [&](UnmaskMessage& m) {
      if (m.member < liars) m.shares[11].value.bytes[m.member] ^= 1;
    });
    REQUIRE(world.server_->can_recover());
    const auto exact = world.sum_is_exact(pool);
    if (liars <= 2) {
      REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
      CHECK(*exact);
      CHECK(world.blame_.empty());  // one member's secret: it may have dealt them
      if (liars == 1) CHECK(world.disputed_ == std::vector<Recovered::Disputed>{{11, 0}});
    } else {
      CHECK_FALSE((exact && *exact));
      CHECK(world.doubted_ == std::vector<std::uint32_t>{11});
    }
  }
}

TEST_CASE("one share beyond the threshold is enough against one wrong share: its commitment tells the secret") {
  WorkerPool pool(2);
  for (const std::uint32_t members : {5U, 6U})
    for (std::uint32_t liar = 0; liar < members; ++liar) {
      WorldOptions options;
      options.members = members;
      options.dropout_millionths = 100'000;
      SecAggWorld world(options);
      REQUIRE(graph_of(world.config_, members)->threshold == members - 1);  // nothing can be corrected
      reveal(world, [&](UnmaskMessage& m) {
        if (m.member == liar)
          for (RevealedShare& share : m.shares) share.value.bytes[0] ^= 1;
      });
      const auto exact = world.sum_is_exact(pool);
      REQUIRE_MESSAGE(exact.has_value(), exact.error().message);
      CHECK(*exact);
      CHECK(world.blame_.empty() == (liar == members - 1));  // the last share is not needed where the others open
      for (const Blame& blame : world.blame_) CHECK(blame.member == liar);
    }
}

TEST_CASE("more wrong shares than members may lie stay unopened, whatever could be left out") {
  WorkerPool pool(1);
  WorldOptions options;
  options.members = 5;
  SecAggWorld world(options);
  reveal(world, [](UnmaskMessage& m) {
    if (m.member < 2) m.shares[4].value.bytes[m.member] ^= 1;
  });
  CHECK_FALSE(world.sum_is_exact(pool).value_or(false));
  CHECK(world.doubted_ == std::vector<std::uint32_t>{4});
}

TEST_CASE("more liars than the terms say prove nothing against the others: no dealer and no holder is named") {
  WorkerPool pool(1);
  WorldOptions options;
  options.members = 5;
  SecAggWorld world(options);
  reveal(world, [](UnmaskMessage& m) {
    if (m.member > 1) return;
    for (RevealedShare& share : m.shares)
      if (share.dealer != m.member) share.value.bytes[m.member] ^= 1;
  });
  CHECK_FALSE(world.sum_is_exact(pool).value_or(false));
  CHECK(world.doubted_ == std::vector<std::uint32_t>{2, 3, 4});
  CHECK(world.liars_.empty());
  CHECK(world.blame_.empty());
}

TEST_CASE("unmasking messages with other shares than are due are refused and their sender blamed") {
  const std::function<void(UnmaskMessage&)> changes[] = {
      [](UnmaskMessage& m) { m.shares.pop_back(); },
      [](UnmaskMessage& m) { m.shares[1].kind = ShareKind::kMaskingKey; },
      [](UnmaskMessage& m) { std::fill_n(m.shares[1].value.bytes.begin(), 8, std::uint8_t{0xff}); },
      [](UnmaskMessage& m) { m.shares[6].dealer = 40; },
  };
  for (const auto& change : changes) {
    SecAggWorld world(seven());
    reveal(world, [&](UnmaskMessage& m) {
      if (m.member == 4) change(m);
    });
    REQUIRE(world.server_->blame().size() == 1);
    CHECK(world.server_->blame()[0].member == 4);
    WorkerPool pool(1);
    CHECK(*world.sum_is_exact(pool));
  }
}

TEST_CASE("whoever lies again and again is blamed once, and one proof against a dealer is kept") {
  SUBCASE("wrong unmasking messages without end") {
    SecAggWorld world(seven());
    reveal(world, [&](UnmaskMessage& m) {
      if (m.member != 4) return;
      m.shares.pop_back();
      for (int time = 0; time < 50; ++time) {
        sign_again(world, m);
        CHECK_FALSE(world.server_->handle(wire(m)).has_value());
      }
    });
    CHECK(world.server_->blame().size() == 1);
  }
  SUBCASE("a complaint about everyone") {
    SecAggWorld world(seven());
    share(world, 0, [](SharesMessage&) {});
    const auto deliveries = world.server_->close_shares();
    for (const Outgoing& o : *deliveries) {
      auto delivery = parsed<DeliveryMessage>(o.message);
      if (o.to[0] == 2)
        for (auto& [dealer, sealed] : delivery.shares) sealed.bytes[0] ^= 1;
      auto answers = world.act(o.to[0], wire(delivery));
      REQUIRE(answers.has_value());
      if (o.to[0] == 2) REQUIRE(parsed<ConfirmMessage>((*answers)[0]).complaints.size() == 6);
      REQUIRE(world.server_->handle((*answers)[0]).has_value());
    }
    REQUIRE(world.server_->blame().size() == 1);
    CHECK(world.server_->blame()[0].member == 2);
    CHECK(world.server_->evidence().empty());
  }
  SUBCASE("a dealer whose shares open for nobody") {
    SecAggWorld world(seven());
    share(world, 3, [](SharesMessage& m) {
      for (SealedShares& sealed : m.sealed) sealed.bytes[60] ^= 1;
    });
    const auto deliveries = world.server_->close_shares();
    world.carry(*deliveries);
    REQUIRE(world.server_->blame().size() == 1);
    CHECK(world.server_->blame()[0].member == 3);
    CHECK(world.server_->evidence().size() == 1);
    finish(world);
    CHECK(world.server_->survivors().count() == 6);
  }
}

TEST_CASE("sybil, duplicate id/key, uncertified join: reject") {
  SecAggWorld world(seven());
  world.join();
  std::vector<JoinMessage> joins;
  SecAggWorld other(seven());  // the same people again, for entries to change
  for (std::uint32_t i = 0; i < 7; ++i) joins.push_back(parsed<JoinMessage>((*other.act(i, other.server_->invitation()))[0]));
  const Digest config_hash = hash_of(other.server_->config());
  const auto enter = [&](JoinMessage join, const SigningKey& key) {
    join.entry.signature = key.sign(kJoinDomain, join_statement(join.entry, join.sid, config_hash));
    return other.server_->handle(wire(join));
  };
  REQUIRE(enter(joins[0], other.people_[0]->key).has_value());
  CHECK_FALSE(enter(joins[0], other.people_[0]->key).has_value());  // twice
  JoinMessage bad = joins[1];
  bad.entry.masking_key = joins[0].entry.masking_key;
  CHECK_FALSE(enter(bad, other.people_[1]->key).has_value());
  bad = joins[1];
  bad.sid.bytes[0] ^= 1;
  CHECK_FALSE(enter(bad, other.people_[1]->key).has_value());
  bad = joins[1];
  bad.entry.credential.epoch = 2;
  sign(bad.entry.credential, other.authority_);
  CHECK_FALSE(enter(bad, other.people_[1]->key).has_value());
  CHECK(enter(joins[1], other.people_[1]->key).has_value());
  CHECK(other.server_->joined() == 2);
  // Two subjects with one key: certified by a careless authority, caught by every member.
  JoinMessage twin = joins[2];
  twin.entry.credential.key = other.people_[1]->credential.key;
  sign(twin.entry.credential, other.authority_);
  CHECK_FALSE(enter(twin, other.people_[1]->key).has_value());
}

TEST_CASE("all-zero / low-order X25519, and points that are none: reject") {
  SecAggWorld world(seven());
  auto join = parsed<JoinMessage>((*world.act(0, world.server_->invitation()))[0]);
  const Digest config_hash = hash_of(world.server_->config());
  const auto enter = [&](const JoinMessage& changed) {
    JoinMessage m = changed;
    m.entry.signature = world.people_[0]->key.sign(kJoinDomain, join_statement(m.entry, m.sid, config_hash));
    return world.server_->handle(wire(m)).has_value();
  };
  JoinMessage bad = join;
  bad.entry.masking_key = {};
  CHECK_FALSE(enter(bad));
  bad.entry.masking_key.bytes[0] = 1;  // order 4
  CHECK_FALSE(enter(bad));
  bad = join;
  bad.entry.sealing_key = {};  // the identity
  CHECK_FALSE(enter(bad));
  std::fill(bad.entry.sealing_key.bytes.begin(), bad.entry.sealing_key.bytes.end(), std::uint8_t{0xff});
  CHECK_FALSE(enter(bad));
  CHECK(enter(join));
}

TEST_CASE("a draw by a beacon is refused: no member could tell who chose it") {
  for (const bool chance : {false, true}) {
    SecAggConfig config = SecAggWorld(seven()).config_;
    REQUIRE(check(config).has_value());
    if (chance) config.draw_chance_2_64 = std::uint64_t{1} << 63;
    else config.beacon = sha256({});
    const auto refused = check(config);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find("beacon") != std::string::npos);
    CHECK_FALSE(decode_secagg_config(encode(config)).has_value());
  }
}

TEST_CASE("withdrawn credentials: terms of an earlier epoch or another list are declined, a roster that names one is refused") {
  SecAggWorld world(seven());
  Withdrawals list;
  list.epoch = 0;  // the world's
  list = withdraw(list, world.people_[6]->credential.key, world.authority_).value();
  world.policy_.withdrawals = list;
  const auto told = world.act(0, world.server_->invitation());
  REQUIRE_FALSE(told.has_value());
  CHECK(told.error().message.find("another list of withdrawn credentials than number 1") != std::string::npos);
  CHECK(told.error().message.find("`covey vouch`") != std::string::npos);

  world.config_.revocation_root = root_of(list);
  world.begin();
  world.policy_.withdrawals.epoch = 2;
  const auto earlier = world.act(0, world.server_->invitation());
  REQUIRE_FALSE(earlier.has_value());
  CHECK(earlier.error().message.find("credential epoch 0 is below 2") != std::string::npos);
  world.policy_.withdrawals = list;

  // The coordinator takes the withdrawn member in all the same: no other deals it a share.
  world.join();
  const auto out = world.server_->close_joins();
  REQUIRE(out.has_value());
  for (std::uint32_t i = 0; i < 6; ++i) {
    const auto answer = world.act(i, (*out)[0].message);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().message.find("whose credential the authority withdrew (list 1)") != std::string::npos);
  }
}

TEST_CASE("the announced share of corrupt members is reckoned with, and the decline says by how much it is not") {
  SecAggConfig config = SecAggWorld(seven()).config_;
  ClientPolicy policy;
  config.members_max = 1000;
  config.gamma_millionths = 100'000;
  const auto few = check_policy(config, policy);
  REQUIRE_FALSE(few.has_value());
  CHECK(few.error().message.find("corrupt_max is 1, the least is 100: 0.1 (privacy.corrupt_fraction) of 1000 members") != std::string::npos);
  config.corrupt_max = 100;
  config.members_min = config.survivors_min = 500;
  CHECK(check_policy(config, policy).has_value());
  policy.gamma_min_millionths = 150'000;
  const auto low = check_policy(config, policy);
  REQUIRE_FALSE(low.has_value());
  CHECK(low.error().message.find("privacy.corrupt_fraction is 0.1, this site's --gamma-min is 0.15") != std::string::npos);
  policy.gamma_min_millionths = 0;
  policy.dropout_max_millionths = 50'000;
  config.dropout_millionths = 100'000;
  const auto silent = check_policy(config, policy);
  REQUIRE_FALSE(silent.has_value());
  CHECK(silent.error().message.find("privacy.dropout is 0.1, this site's --dropout-max is 0.05") != std::string::npos);
}

// A committee's ABORT of the world's running attempt.
Bytes abort_of(SecAggWorld& world) {
  world.carry(*world.server_->abort());
  REQUIRE(world.server_->phase() == SecAggServer::Phase::kAborted);
  return wire(*world.server_->certificate());
}

TEST_CASE("no differencing by retry: a masked attempt bars every overlapping one until a quorum's ABORT") {
  WorkerPool pool(1);
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const SecAggConfig first = world.config_;
  auto old_server = std::move(world.server_);
  // The coordinator says it failed, and asks again: the same stage, or the same model in another round.
  for (const int what : {0, 1, 2, 3}) {
    world.config_ = first;
    if (what == 1) world.config_.attempt = 9;
    if (what == 2) world.config_.round = 99;                          // same model, stage, data
    if (what == 3) world.config_.model.bytes[3] ^= 1;                 // same task, round, stage
    world.begin();
    for (std::uint32_t i = 0; i < 7; ++i) {
      const auto answer = world.act(i, world.server_->invitation());
      REQUIRE_FALSE(answer.has_value());
      CHECK(answer.error().code == ErrorCode::kPermissionDenied);
    }
  }
  // Another round with another model, or another stage, may go on.
  world.config_ = first;
  world.config_.round = 99;
  world.config_.model.bytes[3] ^= 1;
  world.begin();
  CHECK(world.act(0, world.server_->invitation()).has_value());
}

TEST_CASE("an ABORT by a quorum opens the way for a fresh attempt, which is exact") {
  WorkerPool pool(1);
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const Digest old_sid = sid_of(world.server_->config());
  const auto survivors = world.server_->close_masks({});
  const auto old_join = world.people_[0]->client->cohort()->entries()[0];
  const Bytes abort = abort_of(world);
  // Who voted for ABORT signs no survivors, and reveals under no certificate.
  for (const Outgoing& o : *survivors) CHECK_FALSE(world.act(o.to[0], o.message).has_value());
  for (auto& person : world.people_) CHECK(person->book.find(old_sid)->state == AttemptState::kAborted);
  world.refusals_.clear();  // requests that came after the certificate
  world.config_.attempt = 1;
  world.begin();
  REQUIRE(world.run().has_value());
  CHECK(world.refusals_.empty());
  CHECK(*world.sum_is_exact(pool));
  const auto& fresh = world.people_[0]->client->cohort()->entries()[0];
  CHECK(fresh.masking_key != old_join.masking_key);
  CHECK(fresh.sealing_key != old_join.sealing_key);
  CHECK(fresh.nonce != old_join.nonce);
}

TEST_CASE("an ABORT shown after a restart is verified from the book alone; a forged one is not taken") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  auto& person = *world.people_[2];
  auto before = AttemptBook::load(person.disk);
  REQUIRE(before.has_value());
  const auto abort = parsed<OutcomeMessage>(abort_of(world));
  PublicWork work;
  const std::function<void(OutcomeMessage&)> changes[] = {
      [](OutcomeMessage& m) { m.signatures.resize(3); },
      [](OutcomeMessage& m) { m.signatures[1] = m.signatures[0]; },
      [](OutcomeMessage& m) { m.signatures[0].signature.bytes[0] ^= 1; },
      [](OutcomeMessage& m) { m.id.root.bytes[0] ^= 1; },
      [](OutcomeMessage& m) { m.verdict = Verdict::kCommit; },
      [](OutcomeMessage& m) { m.id.sid.bytes[0] ^= 1; },
  };
  for (const auto& change : changes) {
    OutcomeMessage bad = abort;
    change(bad);
    CHECK_FALSE(before->abort(bad, work).has_value());
  }
  SecAggConfig again = world.server_->config();
  again.attempt = 1;
  CHECK_FALSE(before->join(again).has_value());
  const auto batch = before->abort(abort, work);
  REQUIRE(batch.has_value());
  CHECK(batch->puts.size() == 1);
  CHECK(before->join(again).has_value());
}

TEST_CASE("sign-once: the first outcome stands, through restarts and whatever the coordinator asks") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  const SecAggCohort& cohort = *world.server_->cohort();
  const Bytes one = commit_statement(cohort.id(), {hash_of(world.server_->maskers()), {}, {}});
  const Bytes other = commit_statement(cohort.id(), {hash_of(world.server_->maskers()), sha256({}), {}});
  const Bytes abort = abort_statement(cohort.id());
  for (const bool committed : {true, false}) {
    auto book = *AttemptBook::load(world.people_[0]->disk);
    const Verdict verdict = committed ? Verdict::kCommit : Verdict::kAbort;
    const auto batch = book.vote(cohort, verdict, committed ? one : abort);
    REQUIRE(batch.has_value());
    REQUIRE(batch->puts.size() == 1);
    auto restarted = *AttemptBook::load({{batch->puts[0].key, batch->puts[0].value}});
    for (AttemptBook* b : {&book, &restarted}) {
      CHECK(b->vote(cohort, verdict, committed ? one : abort)->empty());  // again the same: nothing new
      CHECK_FALSE(b->vote(cohort, Verdict::kCommit, other).has_value());
      if (!committed) CHECK_FALSE(b->vote(cohort, Verdict::kCommit, one).has_value());
      CHECK_FALSE(b->mask(cohort).has_value());
      CHECK(b->unmask(cohort.id().sid).has_value() == committed);
      if (committed) CHECK_FALSE(b->vote(cohort, Verdict::kAbort, abort).has_value());  // its shares are out
    }
    if (!committed) continue;
    // Before that it may still promise never to reveal them: secagg_abort_test.cpp.
    auto changed = *AttemptBook::load({{batch->puts[0].key, batch->puts[0].value}});
    CHECK(changed.vote(cohort, Verdict::kAbort, abort).has_value());
    CHECK_FALSE(changed.vote(cohort, Verdict::kCommit, one).has_value());
    CHECK_FALSE(changed.unmask(cohort.id().sid).has_value());
  }
}

TEST_CASE("key reuse across attempts; crash-restart: fresh keys asserted; spent sid refused") {
  for (const Stop at : {Stop::kShare, Stop::kConfirm, Stop::kMask}) {
    SecAggWorld world(seven());
    REQUIRE(world.run(nobody, at).has_value());
    auto& person = *world.people_[1];
    auto book = AttemptBook::load(person.disk);
    REQUIRE(book.has_value());
    const SecAggMember member{person.key, person.credential, world.policy_, true};
    SecAggClient restarted(member, world.terms(), *book, world.work_, world.bytes_);
    const auto answer = restarted.handle(world.server_->invitation(), world.now_);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == ErrorCode::kPermissionDenied);
    CHECK(book->find(sid_of(world.server_->config()))->masked == (at == Stop::kMask));
  }
}

TEST_CASE("one open attempt per data scope; closing it lets another begin, and it never answers again") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kConfirm).has_value());
  auto& person = *world.people_[0];
  const SecAggConfig first = world.server_->config();
  SecAggConfig other = first;
  other.round = 8;
  other.model.bytes[0] ^= 1;
  ClientTerms terms = world.terms();
  terms.round = 8;
  terms.model = other.model;
  const SecAggMember member{person.key, person.credential, world.policy_, true};
  SecAggClient second(member, terms, person.book, world.work_, world.bytes_);
  CHECK_FALSE(second.handle(wire(InviteMessage{other}), world.now_).has_value());
  person.client->close();
  CHECK(second.handle(wire(InviteMessage{other}), world.now_).has_value());
  const auto orders = world.server_->close_confirmations();
  CHECK_FALSE(person.client->handle((*orders)[0].message, world.now_).has_value());
}

TEST_CASE("every step that may leave a trace is in the batch before its messages") {
  SecAggWorld world(seven());
  auto& person = *world.people_[0];
  const Digest sid = sid_of(world.server_->config());
  const auto state_on_disk = [&] { return AttemptBook::load(person.disk)->find(sid)->state; };
  const auto joined = person.client->handle(world.server_->invitation(), world.now_);
  REQUIRE(joined->persist.puts.size() == 1);
  CHECK(decode_attempt_record(joined->persist.puts[0].value)->state == AttemptState::kJoined);
  SecAggWorld whole(seven());
  REQUIRE(whole.run(nobody, Stop::kMask).has_value());
  auto& one = *whole.people_[0];
  CHECK(AttemptBook::load(one.disk)->find(sid_of(whole.server_->config()))->state == AttemptState::kMasked);
  whole.carry(*whole.server_->close_masks({}));
  CHECK(AttemptBook::load(one.disk)->find(sid_of(whole.server_->config()))->state == AttemptState::kUnmasked);
  world.keep(person, joined->persist);
  CHECK(state_on_disk() == AttemptState::kJoined);
}

TEST_CASE("records of the book: a changed or misplaced row is corruption") {
  SecAggWorld world(seven());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  auto rows = world.people_[0]->disk;
  REQUIRE(rows.size() == 1);
  const auto record = decode_attempt_record(rows[0].value);
  REQUIRE(record.has_value());
  CHECK(encode(*record) == rows[0].value);
  auto misplaced = rows;
  misplaced[0].key += "0";
  CHECK(AttemptBook::load(misplaced).error().code == ErrorCode::kCorrupted);
  for (std::size_t length = 0; length < rows[0].value.size(); ++length)
    CHECK_FALSE(decode_attempt_record(ByteSpan(rows[0].value).first(length)).has_value());
}

}  // namespace
}  // namespace covey
