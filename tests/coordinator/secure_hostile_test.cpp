// Members of secure rounds that have valid keys and mean harm: what they say costs the coordinator little, and
// the others nothing.
#include "coordinator/secure_attempt.h"
#include "tests/coordinator/secure_play.h"

namespace covey {

TEST_CASE("secure hostile: letters beyond the bound, or too many of them, are not fetched, and fill no log") {
  SecurePlay play(5);
  play.begin();
  play.hold = [](std::uint8_t, const Message& message) { return is_note<RosterMessage>(message); };
  play.run();
  REQUIRE(play.d.job().phase == "sharing");
  const Identity& id = play.d.client(0);
  const RoundKey key = play.d.offer_to(id)->key;
  const BlobRef large = play.d.lay_out(id.key(), Bytes(6000, 1));
  for (int time = 0; time < 100; ++time) play.d.from(id, SecAggLetter{key, large});
  CHECK_FALSE(play.d.blobs.has(large.id));
  CHECK(play.d.logged("secagg_refused") == 1);
  for (std::uint8_t i = 0; i < kLettersInMax; ++i) play.d.from(id, SecAggLetter{key, play.d.lay_out(id.key(), Bytes(100, i))});
  play.d.advance(kBudgetWindow);
  const std::size_t before = play.d.logged("secagg_refused");
  const BlobRef last = play.d.lay_out(id.key(), Bytes(100, 99));
  play.d.hold_fetches = true;
  for (int time = 0; time < 100; ++time) play.d.from(id, SecAggLetter{key, last});
  CHECK(play.d.held_fetches.empty());
  CHECK(play.d.logged("secagg_refused") == before + 1);
}

TEST_CASE("secure hostile: a letter that is said again and again is fetched once, and keeps none of its sender's later ones out") {
  SecurePlay play(5);
  play.writers = {2};
  play.letter_times = 3 * static_cast<int>(kLettersInMax);
  play.begin();
  play.hold = [&](std::uint8_t n, const Message& message) {
    // Only once there is a roster can a letter be sent.
    if (n == 2) play.writers = is_note<InviteMessage>(message) ? std::set<std::uint8_t>{} : std::set<std::uint8_t>{2};
    return of_later_round(message);
  };
  beat(play, 20, [&] { return play.d.job().round == 1; });
  REQUIRE(play.d.job().round == 1);
  CHECK(play.d.logged("secagg_refused") == 0);
  CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 5);
}

TEST_CASE("secure hostile: who is in no roster sends no letters, not even to an attempt that is being aborted") {
  SecurePlay play(6);
  play.vouch({0, 1, 2, 3, 4});
  play.d.join_all();
  const std::string toml = secure_job("deadline_s = 60\n");
  play.job = parse_job(toml).value();
  play.d.submit(toml);
  play.hold = [](std::uint8_t n, const Message& message) {
    return (n < 3 && is_note<MaskOrderMessage>(message)) || is_note<AbortRequestMessage>(message);
  };
  beat(play, 40, [&] { return play.d.job().phase == "aborting"; });
  REQUIRE(play.d.job().phase == "aborting");
  const RoundKey key{1, 1, 1};
  play.d.hold_fetches = true;
  const auto letter_of = [&](const Identity& id) { return SecAggLetter{key, play.d.lay_out(id.key(), Bytes(200, id.key().bytes[0]))}; };
  play.d.from(play.d.client(5), letter_of(play.d.client(5)));
  CHECK(play.d.held_fetches.empty());
  play.d.from(play.d.client(4), letter_of(play.d.client(4)));
  CHECK(play.d.held_fetches.size() == 1);
}

TEST_CASE("secure hostile: who was caught is not asked again in the round, though it restarts and an ABORT is signed") {
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n"));
  const std::vector<float> model = play.d.latest_model();
  // Two are slow, and one signs other vectors than it delivers: too few are left.
  std::optional<Bytes> order;
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (of_later_round(message)) return true;
    const auto* note = std::get_if<SecAggNote>(&message);
    if (note == nullptr || note->key.attempt > 1 || n > 2 || !is_note<MaskOrderMessage>(message)) return false;
    if (n == 0) order = note->content;
    return true;
  };
  play.run();
  REQUIRE(order);
  const Identity& liar = play.d.client(0);
  REQUIRE(play.people[0]->part->client->handle(*order, play.d.now));
  auto lie = play.people[0]->part->client->on_masked({}, play.d.now);
  REQUIRE(lie);
  const MaskedReady honest = *play.people[5]->part->ready;
  play.say(*play.people[0], MaskedReady{honest.key, honest.model, play.d.lay_out(liar.key(), Bytes(honest.vectors.size)),
                                        lie->messages.front(), 1});
  REQUIRE(play.d.last<UpdateRefused>(liar.key()));
  std::uint64_t instance = 1;
  beat(play, 100, [&] {
    ++instance;
    play.d.join(liar, instance, instance);  // it comes back as a new process each time
    return play.d.job().round == 1;
  });
  REQUIRE(play.d.job().round == 1);
  for (const RoundOffer& offer : play.d.all<RoundOffer>(liar.key())) CHECK((offer.key.round > 1 || offer.key.attempt == 1));
  CHECK(play.d.latest_model() == play.expected(play.all_but({0}), model));
  CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).attempt == 2);
  beat(play, 10, [&] { return play.d.offer_to(liar)->key.round > 1; });
  CHECK(play.d.offer_to(liar)->key.round > 1);  // the round is over
}

TEST_CASE("secure hostile: an update that is offered and withdrawn without end fills no log") {
  Driver d(2);
  d.join_all();
  d.submit(job_text());
  const Identity& id = d.client(0);
  UpdateReady ready = d.ready(id, d.offer_to(id).value());
  d.served.clear();
  d.from(id, RoundAccept{ready.key});
  for (int time = 0; time < 200; ++time) d.from(id, ready);
  CHECK(d.logged("update_not_fetched") == 1);
}

TEST_CASE("secure hostile: who confirms and then sends nothing costs one round its deadline, and comes back to no next one") {
  bool returns = false;
  SUBCASE("it stays") {}
  SUBCASE("it comes back as another process") { returns = true; }
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 60\n", 3));
  const Identity& idle = play.d.client(0);
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (n == 1 && of_later_round(message) && std::exchange(returns, false)) play.d.join(idle, 2, 2);
    return n == 0 && is_note<MaskOrderMessage>(message);
  };
  const Instant start = play.d.now;
  beat(play, 40, [&] { return play.d.job().round == 3; });
  REQUIRE(play.d.job().round == 3);
  CHECK_FALSE(returns);
  CHECK(play.d.now - start >= 56s);
  CHECK(play.d.now - start < 100s);
  for (const RoundOffer& offer : play.d.all<RoundOffer>(idle.key())) CHECK(offer.key.round == 1);
}

TEST_CASE("secure hostile: a late member that a next round needs is asked for it") {
  SecurePlay play(5);
  play.begin(secure_job("deadline_s = 60\n[selection]\nmin_clients = 5\n", 2));
  play.hold = [](std::uint8_t n, const Message& message) {
    const auto* note = std::get_if<SecAggNote>(&message);
    return n == 0 && note != nullptr && note->key.round == 1 && is_note<MaskOrderMessage>(message);
  };
  const Instant start = play.d.now;
  beat(play, 40, [&] { return play.d.job().round == 2; });
  REQUIRE(play.d.job().round == 2);
  CHECK(play.d.now - start < 100s);
}

TEST_CASE("secure hostile: a join that is none is waited for no longer, and its sender not asked again in the round") {
  for (const auto bad : {SecurePlay::BadJoin::kNoKey, SecurePlay::BadJoin::kUnsigned}) {
    CAPTURE(bad == SecurePlay::BadJoin::kNoKey);
    SecurePlay play(6);
    play.joiners = {{0, bad}};
    play.hold = [](std::uint8_t, const Message& message) { return of_later_round(message); };
    play.begin(secure_job("deadline_s = 60\n", 2));
    const Instant start = play.d.now;
    play.run();
    REQUIRE(play.d.job().round == 1);
    CHECK(play.d.now == start);  // no phase had to run out
    CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 5);
    CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).attempt == 1);
    bool told = false;
    for (const auto& [who, over] : play.closed) told = told || (who == 0 && over.key.round == 1);
    CHECK(told);
    CHECK(play.d.offer_to(play.d.client(0))->key.round == 2);
    CHECK(play.d.store.scan("rest/").value().empty());
  }
}

TEST_CASE("secure hostile: who was caught, and who held an attempt up, rests also where the coordinator is restarted") {
  SecurePlay play(6);
  play.joiners = {{0, SecurePlay::BadJoin::kUnsigned}};
  play.begin(secure_job("deadline_s = 60\n"));
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (of_later_round(message)) return true;
    const auto* note = std::get_if<SecAggNote>(&message);
    return note != nullptr && note->key.attempt == 1 && (n == 1 || n == 2) && is_note<MaskOrderMessage>(message);
  };
  beat(play, 40, [&] { return play.d.logged("attempt_abandoned") == 1; });
  REQUIRE(play.d.logged("attempt_abandoned") == 1);
  CHECK(play.d.store.scan("rest/").value().size() == 3);
  const Instant restarted = play.d.now;
  play.restart();
  bool twice = false;  // then it is over: restarted ever again, a coordinator would never ask them
  SUBCASE("once") {}
  SUBCASE("and again") {
    twice = true;
    play.d.advance(5s);
    play.restart();
  }
  CHECK(play.d.store.scan("rest/").value().size() == 1);  // who was caught
  Instant asked;
  beat(play, 60, [&] {
    for (const std::uint8_t n : {std::uint8_t{1}, std::uint8_t{2}})
      for (const RoundOffer& offer : play.d.all<RoundOffer>(play.d.client(n).key()))
        if (offer.key.attempt == 2 && asked == Instant{}) asked = play.d.now;
    return play.d.job().round == 1;
  });
  REQUIRE(play.d.job().round == 1);
  CHECK((asked - restarted >= 60s) != twice);
  for (const RoundOffer& offer : play.d.all<RoundOffer>(play.d.client(0).key())) CHECK((offer.key.round > 1 || offer.key.attempt == 1));
  CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 5);
}

TEST_CASE("secure hostile: who is there and never votes costs one attempt, and the next is made without it") {
  SecurePlay play(9);
  play.begin(secure_job("deadline_s = 60\n"));
  play.hold = [](std::uint8_t n, const Message& message) { return n < 4 && is_note<SurvivorsMessage>(message); };
  beat(play, 60, [&] { return play.d.job().round == 1; });
  REQUIRE(play.d.job().round == 1);
  const auto metrics = std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics;
  CHECK(metrics.at(0).attempt == 2);
  CHECK(metrics.at(0).delivered == 5);
  for (std::uint8_t n = 0; n < 4; ++n)
    for (const RoundOffer& offer : play.d.all<RoundOffer>(play.d.client(n).key())) CHECK((offer.key.round > 1 || offer.key.attempt == 1));
}

TEST_CASE("secure hostile: who lets a round wait and gives up shortly before its deadline rests as who lets it pass") {
  enum class End { kStays, kFails, kDeclines, kDeliversOther };
  End end = End::kStays;
  SUBCASE("it lets it pass") {}
  SUBCASE("it fails") { end = End::kFails; }
  SUBCASE("it declines as busy") { end = End::kDeclines; }
  SUBCASE("it delivers other vectors than it signed") { end = End::kDeliversOther; }
  SecurePlay play(6);
  play.begin(secure_job("deadline_s = 600\n", 6));
  const Identity& idle = play.d.client(0);
  std::optional<SecAggNote> order;
  Instant ordered;
  std::set<std::uint32_t> slowed;
  play.hold = [&](std::uint8_t n, const Message& message) {
    if (n > 1 || !is_note<MaskOrderMessage>(message)) return false;
    const SecAggNote& note = std::get<SecAggNote>(message);
    if (n == 1) return slowed.insert(note.key.round).second;  // no round is over at once
    if (!order || order->key != note.key) ordered = play.d.now;
    order = note;
    return true;
  };
  const auto give_up = [&] {
    const RoundKey key = order->key;
    if (end == End::kStays) return;
    if (end == End::kFails) return play.d.from(idle, RoundFailed{key, Error{ErrorCode::kInternal, "no"}});
    if (end == End::kDeclines) return play.d.from(idle, RoundDecline{key, DeclineReason::kBusy, "not now"});
    REQUIRE(play.people[0]->part->client->handle(order->content, play.d.now));
    const auto lie = play.people[0]->part->client->on_masked({}, play.d.now);
    REQUIRE(lie);
    const MaskedReady honest = *play.people[5]->part->ready;
    play.d.from(idle, MaskedReady{key, honest.model, play.d.lay_out(idle.key(), Bytes(honest.vectors.size)), lie->messages.front(), 1});
  };
  const Instant start = play.d.now;
  const auto over = [&] { return play.d.job().round == 6; };
  for (int turn = 0; turn < 1500 && !over(); ++turn) {
    beat(play, 1, over);
    if (!order || order->key.round != play.d.job().round + 1 || play.d.now - ordered < 500s) continue;
    give_up();
    order.reset();
  }
  REQUIRE(over());
  CHECK(play.d.now - start < 700s);
}

}  // namespace covey
