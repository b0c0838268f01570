// Rounds of which the coordinator sees the sum alone.
#include "tests/coordinator/secure_play.h"

#include "coordinator/secure_attempt.h"
#include "tests/coordinator/chains.h"

namespace covey {
namespace {

std::vector<AuditEntry> audits(Driver& d, AuditKind kind) { return chains_of(d).of(kind); }

std::vector<std::string> secure_rows(Driver& d) {
  std::vector<std::string> keys;
  for (const char* table : {"mask/", "outcome/", "unmask/", "round/", "update/"}) {
    const std::vector<Row> rows = d.store.scan(table).value();
    for (const Row& row : rows) keys.push_back(row.key);
  }
  return keys;
}

}  // namespace

TEST_CASE("secure round: the model is, bit for bit, the mean of the plain sum of what everyone encoded") {
  SecurePlay play;
  play.begin(secure_job("", 2));
  std::vector<float> model = play.d.latest_model();
  play.hold = [](std::uint8_t, const Message& message) {  // the next round waits until this one was looked at
    const auto* offer = std::get_if<RoundOffer>(&message);
    return offer != nullptr && offer->key.round > 1;
  };
  play.run();
  CHECK(play.refusals.empty());
  CHECK(play.update_refusals.empty());
  const JobSummary summary = play.d.job();
  CHECK(summary.secure);
  REQUIRE(summary.round == 1);
  CHECK(play.d.latest_model() == play.expected(play.all_but({}), model));
  CHECK(play.d.latest_model() != model);
  const auto detail = std::get<JobDetail>(play.d.ask(ShowJob{1, 0}));
  REQUIRE(detail.metrics.size() == 1);
  CHECK(detail.metrics[0].examples == play.examples_of(play.all_but({})));
  CHECK(detail.metrics[0].delivered == 6);
  CHECK(detail.metrics[0].train.targets == 6 * 12);
  CHECK(detail.metrics[0].train.loss_sum == doctest::Approx(36));
  CHECK(detail.metrics[0].evaluation == EvalStats{24, 48, 12});
  CHECK(detail.metrics[0].train.seconds == 1.5);
  CHECK(detail.metrics[0].update_bytes == 6 * (4 + 7) * 8);
  CHECK(play.d.store.scan("mask/").value().empty());
  CHECK(play.d.store.scan("unmask/").value().empty());
  CHECK(audits(play.d, AuditKind::kOutcome).size() == 1);
}

TEST_CASE("secure round: a job after a new epoch asks for it, and each offer comes after the list and the credential, which may be lost") {
  SecurePlay play;
  const Withdrawals list = begin_epoch({}, authority()).value();
  REQUIRE(std::holds_alternative<Done>(play.d.ask(RegisterWithdrawals{list})));
  play.policy.withdrawals = list;
  for (const auto& person : play.people) person->credential = credential_for(play.d.client(person->number).certificate, authority(), 2);
  play.begin();
  std::size_t offers = 0;
  std::map<PeerKey, std::vector<const Message*>> told;
  const auto look = [&] {
    told.clear(), offers = 0;
    for (const Send& send : play.d.sent) {
      auto& before = told[send.to.peer];
      before.push_back(&send.message);
      if (!std::holds_alternative<RoundOffer>(send.message)) continue;
      ++offers;
      REQUIRE(before.size() > 2);
      const auto* withdrawn = std::get_if<CredentialsWithdrawn>(before[before.size() - 3]);
      const auto* issued = std::get_if<CredentialIssued>(before[before.size() - 2]);
      REQUIRE(withdrawn != nullptr);
      REQUIRE(issued != nullptr);
      CHECK(withdrawn->list == list);
      CHECK(issued->credential.epoch == 2);
    }
  };
  look();
  CHECK(offers == 6);
  play.run();
  CHECK(play.refusals.empty());
  look();
  for (const auto& person : play.people) {
    REQUIRE(person->part);
    CHECK(person->part->client->config().credential_epoch == 2);
    CHECK(person->part->client->config().revocation_root == root_of(list));
  }
  CHECK(play.d.job().round == 1);
}

TEST_CASE("secure round: a whole job with its final evaluation leaves no row and no blob of a member behind") {
  SecurePlay play;
  play.begin(secure_job("", 3));
  play.finish();
  const JobSummary summary = play.d.job();
  CHECK_MESSAGE(summary.state == JobState::kFinished, summary.text);
  CHECK(summary.round == 3);
  CHECK(summary.phase.empty());
  CHECK(play.refusals.empty());
  CHECK(secure_rows(play.d).empty());
  const auto detail = std::get<JobDetail>(play.d.ask(ShowJob{1, 0}));
  REQUIRE(detail.metrics.size() == 4);
  CHECK(detail.metrics[3].evaluation == EvalStats{24, 48, 12});
  const auto named = blobs_in_rows(play.d.store.scan("").value()).value();
  const std::vector<Digest> blobs = play.d.blobs.list().value();
  for (const Digest& blob : blobs) CHECK(named.contains(blob));
  const auto figures = play.d.ask(ShowClients{1, 1, 0});
  REQUIRE(std::holds_alternative<Error>(figures));
  CHECK(std::get<Error>(figures).message.find("no client's own figures") != std::string::npos);
}

TEST_CASE("secure round: whoever falls silent, in whatever phase, the sum is that of the others") {
  const auto silent_from = [](int phase, const Message& message) {
    switch (phase) {
      case 0: return std::holds_alternative<RoundOffer>(message);
      case 1: return is_note<InviteMessage>(message);
      case 2: return is_note<RosterMessage>(message);
      case 3: return is_note<DeliveryMessage>(message);
      case 4: return is_note<MaskOrderMessage>(message);
      case 5: return is_note<SurvivorsMessage>(message);
      default: return is_note<OutcomeMessage>(message);
    }
  };
  for (int phase = 0; phase <= 6; ++phase)
    for (const std::uint8_t who : std::initializer_list<std::uint8_t>{0, 2, 5}) {
      SecurePlay play;
      play.begin(secure_job("deadline_s = 60\n"));
      const std::vector<float> model = play.d.latest_model();
      bool gone = false;
      play.hold = [&](std::uint8_t n, const Message& message) {
        if (const auto* offer = std::get_if<RoundOffer>(&message); offer != nullptr && offer->key.round > 1) return true;
        if (n == who && silent_from(phase, message)) gone = true;
        return n == who && gone;
      };
      // It is connected and says nothing: only the phase's own time ends the wait for it.
      for (int turn = 0; turn < 20 && play.d.job().round == 0; ++turn) {
        play.run();
        if (play.d.job().round > 0) break;
        play.d.advance(4s);
        for (std::uint8_t n = 0; n < 6; ++n) play.d.from(play.d.client(n), Heartbeat{1});
      }
      CAPTURE(phase);
      CAPTURE(who);
      REQUIRE(play.d.job().round == 1);
      CHECK(gone);
      const std::set<std::uint8_t> out = phase <= 4 ? std::set<std::uint8_t>{who} : std::set<std::uint8_t>{};
      CHECK(play.d.latest_model() == play.expected(play.all_but(out), model));
      const auto detail = std::get<JobDetail>(play.d.ask(ShowJob{1, 0}));
      CHECK(detail.metrics.at(0).attempt == 1);
      CHECK(detail.metrics.at(0).delivered == 6 - out.size());
    }
}

TEST_CASE("secure round: too few after the mask order ends in a signed ABORT, and the round is tried with fresh keys") {
  SecurePlay play(5);
  play.begin(secure_job("deadline_s = 60\n"));
  const std::vector<float> model = play.d.latest_model();
  // Two of five obey, the rest are there but never deliver: nothing can be opened.
  play.hold = [&](std::uint8_t n, const Message& message) {
    const auto* note = std::get_if<SecAggNote>(&message);
    return n < 3 && note != nullptr && note->key.attempt == 1 && note->key.round == 1 && is_note<MaskOrderMessage>(message);
  };
  play.run();
  CHECK(play.d.job().phase == "masking");
  CHECK(play.d.job().members == 5);
  CHECK(play.d.job().maskers == 5);
  const Digest sid = play.people[4]->part->client->sid();
  play.finish();
  const JobSummary summary = play.d.job();
  CHECK_MESSAGE(summary.state == JobState::kFinished, summary.text);
  CHECK(play.people[4]->book.find(sid)->state == AttemptState::kAborted);
  const auto detail = std::get<JobDetail>(play.d.ask(ShowJob{1, 0}));
  CHECK(detail.metrics.at(0).attempt == 2);
  CHECK(detail.metrics.at(0).delivered == 5);
  const auto outcomes = audits(play.d, AuditKind::kOutcome);
  REQUIRE(outcomes.size() == 3);  // of both attempts, and of the final evaluation
  CHECK(outcomes[0].number == 2);
  CHECK(outcomes[0].round == RoundKey{1, 1, 1});
  CHECK(outcomes[1].number == 1);
  CHECK(secure_rows(play.d).empty());
  CHECK(play.refusals.empty());
}

TEST_CASE("secure round: a member that was away is shown the ABORT when it is back, and takes part again") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  std::set<std::uint8_t> deaf{0, 1, 2};
  play.hold = [&](std::uint8_t n, const Message& message) {
    const auto* note = std::get_if<SecAggNote>(&message);
    const auto* offer = std::get_if<RoundOffer>(&message);
    return (note != nullptr && deaf.contains(n) && is_note<MaskOrderMessage>(message)) || (offer != nullptr && offer->key.attempt > 1);
  };
  play.run();
  play.silent = {5};  // it masked, and is away now
  const Digest sid = play.people[5]->part->client->sid();
  for (int turn = 0; turn < 40 && audits(play.d, AuditKind::kOutcome).empty(); ++turn) {
    play.run();
    play.d.advance(4s);
    for (std::uint8_t n = 0; n < 5; ++n) play.d.from(play.d.client(n), Heartbeat{1});
  }
  REQUIRE(audits(play.d, AuditKind::kOutcome).size() == 1);
  CHECK(play.people[5]->book.find(sid)->state == AttemptState::kMasked);
  // The others go on without it; the coordinator even restarts before it is back.
  REQUIRE(play.d.job().round == 0);
  REQUIRE(play.d.store.scan("outcome/").value().size() == 1);
  SUBCASE("it comes back to the same coordinator") {}
  SUBCASE("it comes back to one that was restarted") { play.restart(); }
  play.silent = {};
  play.hold = {};
  play.d.join(play.d.client(5), 2, 2);
  play.seen = 0;  // whatever was sent to it
  std::size_t shown = 0;
  for (const SecAggNote& note : play.d.all<SecAggNote>(play.d.client(5).key())) shown += is_note<OutcomeMessage>(note) ? 1 : 0;
  REQUIRE(shown >= 1);
  play.seen = play.d.sent.size();
  for (const SecAggNote& note : play.d.all<SecAggNote>(play.d.client(5).key()))
    if (is_note<OutcomeMessage>(note))
      CHECK(play.people[5]->book.abort(std::get<OutcomeMessage>(decode_secagg_message(note.content).value()), play.work));
  CHECK(play.people[5]->book.find(sid)->state == AttemptState::kAborted);
}

TEST_CASE("secure round: clients without a credential are not asked, and the job says what is missing") {
  SecurePlay play(5);
  play.vouch({0, 1, 2});
  play.d.join_all();
  play.job = parse_job(secure_job()).value();
  play.d.submit(secure_job());
  const JobSummary waiting = play.d.job();
  CHECK(waiting.state == JobState::kRunning);
  CHECK(waiting.text.find("3 of 4") != std::string::npos);
  CHECK(waiting.text.find("covey vouch") != std::string::npos);
  const auto named = [&] {
    std::size_t entries = 0;
    const auto rows = std::get<JournalRows>(play.d.ask(ReadJournal{1, 0})).rows;
    for (const JournalEntry& entry : rows)
      entries += entry.text.find("have no credential") != std::string::npos ? 1 : 0;
    return entries;
  };
  CHECK(named() == 1);
  for (const std::size_t n : {3, 4}) CHECK(waiting.text.find(play.d.client(n).certificate.name) != std::string::npos);
  play.d.advance(6s);
  CHECK(named() == 1);  // once a round
  CHECK(play.d.count<RoundOffer>() == 0);
  play.vouch({3});
  play.d.advance(6s);
  CHECK(play.d.count<RoundOffer>() == 4);
  CHECK_FALSE(play.d.offer_to(play.d.client(4)));
  play.finish();
  CHECK(play.d.job().state == JobState::kFinished);
}

TEST_CASE("secure round: a member that is revoked after the mask order ends the attempt, and the next is without it") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  const std::vector<float> model = play.d.latest_model();
  bool waiting = true;
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (const auto* offer = std::get_if<RoundOffer>(&message); offer != nullptr && offer->key.round > 1) return true;
    return waiting && n == 0 && is_note<MaskOrderMessage>(message);
  };
  play.run();
  REQUIRE(play.d.job().phase == "masking");
  REQUIRE(play.d.job().delivered == 5);
  CHECK(std::holds_alternative<Done>(play.d.ask(RevokeNode{"client-3"})));
  waiting = false;
  play.silent = {3};
  for (int turn = 0; turn < 30 && play.d.job().round == 0; ++turn) {
    play.run();
    play.d.advance(4s);
    for (std::uint8_t n = 0; n < 6; ++n)
      if (n != 3) play.d.from(play.d.client(n), Heartbeat{1});
  }
  REQUIRE(play.d.job().round == 1);
  CHECK(play.d.latest_model() == play.expected(play.all_but({3}), model));
  CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).attempt == 2);
  CHECK(audits(play.d, AuditKind::kOutcome).at(0).number == 2);
}

TEST_CASE("secure round: what an operator's revocation ends costs none of round.attempts_max") {
  SecurePlay play(7);
  play.begin(secure_job("deadline_s = 60\nattempts_max = 1\n"));
  bool declining = false;
  play.hold = [&](std::uint8_t, const Message& message) {
    return is_note<MaskOrderMessage>(message) || (declining && is_note<InviteMessage>(message));
  };
  play.run();
  REQUIRE(play.d.job().phase == "masking");
  CHECK(std::holds_alternative<Done>(play.d.ask(RevokeNode{"client-3"})));
  play.silent = {3};
  SUBCASE("the attempt that the node was in") {}
  SUBCASE("and the one before the list that withdraws its credential") {
    declining = true;
    play.run();
    REQUIRE(play.d.job().attempt == 2);
    const Withdrawals list = withdraw({}, play.people[3]->credential.key, authority()).value();
    CHECK(std::holds_alternative<Done>(play.d.ask(RegisterWithdrawals{list})));
    for (std::uint8_t n = 0; n < 7; ++n)  // what a client does that holds the list
      if (n != 3) play.d.from(play.d.client(n), RoundDecline{{1, 1, 2}, DeclineReason::kBusy, "another list"});
    declining = false;
    play.policy.withdrawals = list;
    play.pass(4);
    REQUIRE(play.d.job().attempt == 3);
  }
  CHECK(play.d.job().state == JobState::kRunning);
  SUBCASE("its own failures count") {
    play.pass(40);
    CHECK(play.d.job().state == JobState::kFailed);
    CHECK(play.d.job().text.find("attempts_max = 1") != std::string::npos);
  }
}

TEST_CASE("secure round: who would not aggregate with a node is asked again once that is revoked") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  play.hold = [&](std::uint8_t, const Message& message) { return is_note<RosterMessage>(message); };
  play.run();
  REQUIRE(play.d.job().phase == "sharing");
  const std::string why = "this member's policy refuses the roster: it names client-5";
  play.d.from(play.d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kPolicy, why});
  const auto journal = std::get<JournalRows>(play.d.ask(ReadJournal{1, 0})).rows;
  CHECK(std::any_of(journal.begin(), journal.end(),
                    [&](const JournalEntry& entry) { return entry.text.find("client-0 declined (policy): " + why) != std::string::npos; }));
  play.d.sent.clear();
  play.seen = 0;
  play.pass(8);
  CHECK(play.d.offer_to(play.d.client(1)));  // another attempt
  CHECK_FALSE(play.d.offer_to(play.d.client(0)));
  CHECK(std::holds_alternative<Done>(play.d.ask(RevokeNode{"client-5"})));
  play.silent = {5};
  play.pass(8);
  CHECK(play.d.offer_to(play.d.client(0)));
}

TEST_CASE("secure round: what strangers say, or members for others, or of another attempt, changes nothing") {
  SecurePlay play(6);
  play.vouch({0, 1, 2, 3, 4});
  play.d.join_all();
  play.job = parse_job(secure_job()).value();
  const std::vector<float> model(8, 0.0F);
  std::vector<std::pair<std::uint8_t, SecAggNote>> joins;
  play.d.submit(secure_job());
  play.hold = [](std::uint8_t, const Message& message) {
    const auto* offer = std::get_if<RoundOffer>(&message);
    return offer != nullptr && offer->key.round > 1;
  };
  // Before anyone joins: a stranger, rubbish, a note of another attempt and of another job.
  const RoundKey key = play.d.offer_to(play.d.client(0))->key;
  play.d.from(play.d.client(5), SecAggNote{key, Bytes{1, 2, 3}});
  play.d.from(play.d.client(0), SecAggNote{key, Bytes{1, 2, 3}});
  play.d.from(play.d.client(0), SecAggNote{key, Bytes(kSecAggNoteBytesMax, 0xff)});
  play.d.from(play.d.client(0), SecAggNote{{1, 1, 9}, Bytes{1}});
  play.d.from(play.d.client(0), SecAggNote{{7, 1, 1}, Bytes{1}});
  CHECK(play.d.logged("secagg_refused") >= 2);
  CHECK(play.d.job().phase == "joining");
  play.run();
  const std::size_t before = play.d.logged("secagg_refused");
  const std::vector<Send> said = play.d.sent;
  for (const Send& send : said)  // what the coordinator itself said, back at it
    if (const auto* note = std::get_if<SecAggNote>(&send.message)) play.d.from(play.d.client(1), *note);
  CHECK(play.d.logged("secagg_refused") <= before + 1);  // a client fills no log
  for (int turn = 0; turn < 10 && play.d.job().round == 0; ++turn) {
    play.d.advance(4s);
    play.run();
  }
  REQUIRE(play.d.job().round == 1);
  CHECK(play.d.latest_model() == play.expected({0, 1, 2, 3, 4}, model));
}

TEST_CASE("secure round: one member's words in another's mouth are refused") {
  SecurePlay play(5);
  play.begin();
  play.hold = [](std::uint8_t, const Message& message) { return is_note<InviteMessage>(message); };
  play.run();
  REQUIRE(play.d.job().phase == "joining");
  // Client 1 learns client 0's invitation and joins with the credential of client 0.
  const auto invite = play.d.last<SecAggNote>(play.d.client(0).key()).value();
  auto step = play.people[0]->part->client->handle(invite.content, play.d.now);
  REQUIRE(step);
  const SecAggNote join{invite.key, step->messages.front()};
  play.d.from(play.d.client(1), join);
  CHECK(play.d.logged("secagg_refused") == 1);
  play.d.from(play.d.client(0), join);
  CHECK(play.d.logged("secagg_refused") == 1);
  CHECK(play.d.job().phase == "joining");
}

TEST_CASE("secure round: masked vectors are taken as they were signed, once, and plain updates never") {
  SecurePlay play(5);
  play.begin(secure_job("deadline_s = 60\n"));
  bool deaf = true;
  play.hold = [&](std::uint8_t n, const Message& message) { return deaf && n == 0 && is_note<MaskOrderMessage>(message); };
  play.run();
  REQUIRE(play.d.job().delivered == 4);
  const Identity& id = play.d.client(0);
  const RoundOffer offer = play.d.offer_to(id).value();
  const auto refused_with = [&](const char* what) {
    const auto last = play.d.last<UpdateRefused>(id.key());
    return last && last->error.message.find(what) != std::string::npos;
  };
  // One that counts is not replaced, and may be said again.
  const MaskedReady first = *play.people[1]->part->ready;
  play.d.from(play.d.client(1), first);
  CHECK(play.d.all<UpdateAccepted>(play.d.client(1).key()).size() == 2);
  MaskedReady other = first;
  other.vectors = play.d.lay_out(play.d.client(1).key(), Bytes(first.vectors.size, 1));
  play.d.from(play.d.client(1), other);
  CHECK(play.d.last<UpdateRefused>(play.d.client(1).key())->error.code == ErrorCode::kAlreadyExists);
  // A stranger to the round, and a wrong size.
  deaf = false;
  const Bytes order = play.d.last<SecAggNote>(id.key())->content;
  SUBCASE("a plain update") {
    play.d.from(id, play.d.ready(id, offer));
    CHECK(refused_with("masked vectors alone"));
  }
  SUBCASE("another client's note") {
    MaskedReady stolen = first;
    play.d.served[id.key()] = play.d.served[play.d.client(1).key()];
    play.d.from(id, stolen);
    CHECK(refused_with("not this client's Masked message"));
  }
  SUBCASE("another size") {
    MaskedReady wrong = first;
    wrong.vectors.size += 8;
    play.d.from(id, wrong);
    CHECK(refused_with("bytes; this round's have"));
  }
  SUBCASE("another model") {
    MaskedReady wrong = first;
    wrong.model.bytes[0] ^= 1;
    play.d.from(id, wrong);
    CHECK(refused_with("start from model"));
  }
  SUBCASE("vectors that are not what was signed") {
    auto step = play.people[0]->part->client->handle(order, play.d.now);
    REQUIRE_MESSAGE(step, step.error().message);
    Digest lie;
    lie.bytes[0] = 1;
    auto signed_lie = play.people[0]->part->client->on_masked(lie, play.d.now);
    REQUIRE(signed_lie);
    play.d.from(id, MaskedReady{offer.key, offer.model.id, play.d.lay_out(id.key(), Bytes(first.vectors.size)),
                                signed_lie->messages.front(), 1});
    CHECK(refused_with("not those that the client signed"));
  }
  SUBCASE("bits outside the lanes") {
    auto step = play.people[0]->part->client->handle(order, play.d.now);
    REQUIRE(step);
    auto any = play.people[0]->part->client->on_masked({}, play.d.now);
    play.d.from(id, MaskedReady{offer.key, offer.model.id, play.d.lay_out(id.key(), Bytes(first.vectors.size, 0xff)),
                                any->messages.front(), 1});
    CHECK(refused_with("the masked vectors:"));
  }
}

TEST_CASE("secure round: a job that is stopped while its sum is opened lets go of what comes of it") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  const std::size_t blobs = play.d.blobs.list().value().size();
  play.hold = [&](std::uint8_t, const Message& message) {
    if (is_note<OutcomeMessage>(message)) play.d.hold_work = true;  // from now on: the opening
    return false;
  };
  play.run();
  play.d.advance(4s);
  const auto opening = std::find_if(play.d.held_work.begin(), play.d.held_work.end(),
                                    [](const StartWork& start) { return std::holds_alternative<Unmask>(start.work); });
  REQUIRE(opening != play.d.held_work.end());
  const StartWork sum = *opening;
  CHECK(std::holds_alternative<Done>(play.d.ask(StopJob{1})));
  play.d.hold_work = false;
  play.d.finish_work(sum);  // it was cancelled too late
  CHECK(play.d.alive());
  CHECK(play.d.job().state == JobState::kStopped);
  CHECK(play.d.blobs.list().value().size() <= blobs);  // neither vectors nor the model that nobody wants
}

TEST_CASE("secure round: a member that is revoked after the COMMIT stays in the sum, which has no other end") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  const std::vector<float> model = play.d.latest_model();
  bool holding = true;
  play.hold = [&](std::uint8_t, const Message& message) {
    if (const auto* offer = std::get_if<RoundOffer>(&message); offer != nullptr && offer->key.round > 1) return true;
    return holding && is_note<OutcomeMessage>(message);
  };
  play.run();
  REQUIRE(play.d.job().phase == "unmasking");
  CHECK(std::holds_alternative<Done>(play.d.ask(RevokeNode{"client-3"})));
  play.silent = {3};
  holding = false;
  for (int turn = 0; turn < 10 && play.d.job().round == 0; ++turn) {
    play.d.advance(4s);
    for (std::uint8_t n = 0; n < 6; ++n)
      if (n != 3) play.d.from(play.d.client(n), Heartbeat{1});
    play.run();
  }
  REQUIRE(play.d.job().round == 1);
  CHECK(play.d.latest_model() == play.expected(play.all_but({}), model));
}

TEST_CASE("secure round: what was clamped is in the journal when it is first seen, and when it became much more") {
  SecurePlay play;
  play.clamped = 7;
  play.begin(secure_job("", 4));
  play.hold = [&](std::uint8_t, const Message& message) {
    if (const auto* offer = std::get_if<RoundOffer>(&message)) play.clamped = offer->key.round < 3 ? 7 + offer->key.round : 70;
    return false;
  };
  play.finish();
  REQUIRE(play.d.job().state == JobState::kFinished);
  std::vector<std::string> lines;
  for (const Row& row : play.d.store.scan("journal/").value()) {
    const std::string line(row.value.begin(), row.value.end());
    if (const auto at = line.find(" of the updates lay beyond 4 and counted as that"); at != std::string::npos) lines.push_back(line.substr(0, at));
  }
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].ends_with("round 1: 48 elements"));
  CHECK(lines[1].ends_with("round 3: 420 elements"));
}

TEST_CASE("secure round: what is too long for a note comes as a letter, and is gone with its attempt") {
  constexpr std::uint8_t kMany = 48;  // a roster of 13 KB
  SecurePlay play(kMany);
  std::set<std::uint8_t> first, rest;
  for (std::uint8_t n = 0; n < kMany; ++n) (n < 30 ? first : rest).insert(n);
  play.vouch(first);
  play.vouch(rest);
  play.d.join_all();
  const std::string toml = secure_job("[selection]\nmin_clients = 48\n");
  play.job = parse_job(toml).value();
  play.d.submit(toml);
  const std::vector<float> model(8, 0.0F);
  play.hold = [](std::uint8_t, const Message& message) {
    const auto* offer = std::get_if<RoundOffer>(&message);
    return offer != nullptr && offer->key.round > 1;
  };
  play.run();
  CHECK(play.d.count<SecAggLetter>() >= kMany);
  REQUIRE(play.d.job().round == 1);
  CHECK(play.d.latest_model() == play.expected(play.all_but({}), model));
  for (const auto& [peer, letters] : play.d.published_to) CHECK(letters.empty());
  CHECK(play.refusals.empty());
}

TEST_CASE("secure round: terms that no number of members meets are refused at submission") {
  SecurePlay play(4);
  play.vouch_all();
  play.d.join_all();
  const auto answer = play.d.submit(job_text("[privacy]\nsecure_aggregation = true\ncorrupt_fraction = 0.3\n"));
  REQUIRE(std::holds_alternative<Error>(answer));
  CHECK(std::get<Error>(answer).message.find("min_clients") != std::string::npos);
}

}  // namespace covey
