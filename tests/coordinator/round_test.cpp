#include <limits>

#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";
const std::string kThree = "[selection]\nmin_clients = 3\n";

// A job in its first round, offered to every client.
void begin(Driver& d, const std::string& more = kTwo, std::uint32_t rounds = 2) {
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text(more, rounds))));
}

}  // namespace

TEST_CASE("round: it is durable before it is offered") {
  Driver d(2);
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text("[selection]\nmin_clients = 3\n"))));
  CHECK(d.logged("waiting_for_clients") == 1);
  Driver e(2);
  e.withhold_writes = true;
  e.join_all();
  CHECK(e.count<JoinAccepted>() == 0);
  e.release_writes();
  CHECK(e.count<JoinAccepted>() == 2);
  e.submit(job_text(kTwo));
  e.withhold_writes = true;
  for (std::size_t n = 0; n < 2; ++n) e.deliver_update(e.client(n));
  CHECK(e.count<UpdateAccepted>() == 0);  // received and checked, not yet durable
  CHECK(e.logged("round_committed") == 0);
  CHECK(e.count<RoundOffer>() == 2);
  e.release_writes();
  CHECK(e.count<UpdateAccepted>() == 2);
  CHECK(e.logged("round_committed") == 1);
  CHECK(e.count<RoundOffer>() == 4);
}

TEST_CASE("round: what was not durable at a crash was not seen") {
  Driver d(2);
  begin(d);
  d.withhold_writes = true;
  const std::size_t before = d.sent.size();
  d.deliver_update(d.client(0));
  CHECK(d.sent.size() == before);
  d.withhold_writes = false;
  d.restart();
  CHECK(d.job().delivered == 0);
}

TEST_CASE("round: the offer says what to train, and until when") {
  Driver d(2);
  begin(d, kTwo + "[round]\ndeadline_s = 100\n");
  const RoundOffer offer = d.offer_to(d.client(0)).value();
  CHECK(offer.key == RoundKey{1, 1, 1});
  CHECK(offer.kind == RoundKind::kTrain);
  CHECK(offer.deadline == 100s);
  CHECK(offer.progress_begin == 0);
  CHECK(offer.progress_end == 0.5);
  CHECK(d.published.contains(offer.config.id));
  CHECK(d.published.contains(offer.model.id));
  d.advance(10s);
  d.join(d.client(0), 2, 2);  // challenged, then taken over
  d.advance(3s);
  CHECK(d.offer_to(d.client(0))->deadline == 88s);
}

TEST_CASE("round: committed with the weighted mean, figures and the next offer") {
  Driver d(2);
  begin(d);
  d.deliver_update(d.client(0));
  CHECK(d.job().delivered == 1);
  CHECK(d.count<RoundClosed>() == 0);
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 1);
  CHECK(d.last<RoundClosed>(d.client(0).key())->committed);
  const auto first = d.update_of(d.client(0).key(), 1), second = d.update_of(d.client(1).key(), 1);
  const auto model = d.latest_model();
  for (std::size_t i = 0; i < model.size(); ++i)
    CHECK(model[i] == static_cast<float>(-(10.0 * static_cast<double>(first[i]) + 10.0 * static_cast<double>(second[i])) / 20.0));
  const auto detail = std::get<JobDetail>(d.ask(ShowJob{1, 0}));
  REQUIRE(detail.metrics.size() == 1);
  CHECK(detail.metrics[0].delivered == 2);
  CHECK(detail.metrics[0].examples == 20);
  CHECK(detail.metrics[0].train.seconds == 1.5);
  CHECK(detail.metrics[0].evaluation == EvalStats{8, 16, 4});
  CHECK(detail.metrics[0].update_bytes == 64);
  const auto rows = std::get<ClientRows>(d.ask(ShowClients{1, 1, 0})).rows;
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].examples == 10);
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 2, 1});
  for (const auto& update : {first, second}) CHECK_FALSE(d.blobs.has(blob_ref_of(bytes_of_floats(update)).id));
}

TEST_CASE("round: an update delivered twice is acknowledged twice and counted once") {
  Driver d(3);
  begin(d, kThree);
  const UpdateReady ready = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  d.from(d.client(0), ready);
  d.from(d.client(0), ready);
  CHECK(d.all<UpdateAccepted>(d.client(0).key()).size() == 2);
  CHECK(d.job().delivered == 1);
  UpdateReady other = ready;
  other.update = d.lay_out(d.client(0).key(), bytes_of_floats(std::vector<float>(8, 1.0F)));
  d.from(d.client(0), other);
  CHECK(d.last<UpdateRefused>(d.client(0).key())->error.code == ErrorCode::kAlreadyExists);
  CHECK(d.job().delivered == 1);
}

TEST_CASE("round: an update that is on its way is replaced by a newer one") {
  Driver d(2);
  begin(d);
  d.hold_fetches = true;
  UpdateReady ready = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  d.from(d.client(0), ready);
  d.from(d.client(0), ready);
  REQUIRE(d.held_fetches.size() == 1);
  ready.update = d.lay_out(d.client(0).key(), bytes_of_floats(std::vector<float>(8, 1.0F)));
  d.from(d.client(0), ready);
  REQUIRE(d.held_fetches.size() == 1);
  CHECK(d.held_fetches[0].blob == *ready.update);
}

TEST_CASE("round: late, foreign and wrong updates are refused politely") {
  Driver d(3);
  d.join(d.client(0));
  d.join(d.client(1));
  d.submit(job_text(kTwo));
  const UpdateReady good = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  d.join(d.client(2));
  d.from(d.client(2), good);
  CHECK(d.last<UpdateRefused>(d.client(2).key())->error.code == ErrorCode::kPermissionDenied);
  UpdateReady wrong = good;
  wrong.key.attempt = 2;
  d.from(d.client(0), wrong);
  CHECK(d.last<UpdateRefused>(d.client(0).key())->error == Error{ErrorCode::kUnavailable, "job 1 round 1 attempt 2 closed"});
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  d.from(d.client(0), good);
  CHECK(d.last<UpdateRefused>(d.client(0).key())->error == Error{ErrorCode::kUnavailable, "job 1 round 1 attempt 1 closed"});
  wrong = good;
  wrong.key.job = 9;
  d.from(d.client(0), wrong);
  CHECK(d.last<UpdateRefused>(d.client(0).key())->error.code == ErrorCode::kUnavailable);
}

TEST_CASE("round: an unacceptable update is refused and the round goes on without it") {
  const auto refused = [](auto&& spoil) {
    Driver d(3);
    begin(d, kThree + "[round]\nquorum = 0.6\n", 1);
    UpdateReady ready = d.ready(d.client(0), d.offer_to(d.client(0)).value());
    spoil(d, ready);
    d.from(d.client(0), ready);
    CHECK(d.last<UpdateRefused>(d.client(0).key())->error.code == ErrorCode::kInvalidUpdate);
    CHECK(d.logged("update_refused") == 1);
    CHECK(d.count<UpdateAccepted>() == 0);
    d.from(d.client(0), d.ready(d.client(0), d.offer_to(d.client(0)).value()));  // final for this attempt
    CHECK(d.count<UpdateAccepted>() == 0);
    d.deliver_update(d.client(1));
    d.deliver_update(d.client(2));
    const auto detail = std::get<JobDetail>(d.ask(ShowJob{1, 0}));
    REQUIRE(detail.metrics.size() == 1);
    CHECK(detail.metrics[0].delivered == 2);
    CHECK(detail.metrics[0].declined == 1);
  };
  refused([](Driver& d, UpdateReady& ready) {
    std::vector<float> bad(8, 1.0F);
    bad[3] = std::numeric_limits<float>::quiet_NaN();
    ready.update = d.lay_out(d.client(0).key(), bytes_of_floats(bad));
  });
  refused([](Driver&, UpdateReady& ready) { ready.examples = 0; });
  refused([](Driver&, UpdateReady& ready) { ready.examples = (std::uint64_t{1} << 40) + 1; });
  refused([](Driver&, UpdateReady& ready) { ready.model.bytes[0] ^= 1; });
  refused([](Driver&, UpdateReady& ready) { ready.update.reset(); });
  refused([](Driver&, UpdateReady& ready) { ready.update->size += 4; });
}

TEST_CASE("round: an update that equals a model shard does not take the shard with it") {
  Driver d(2);
  begin(d);
  const std::vector<float> zeros(8);  // the initial model's only shard
  for (std::size_t n = 0; n < 2; ++n) {
    UpdateReady ready = d.ready(d.client(n), d.offer_to(d.client(n)).value());
    ready.update = d.lay_out(d.client(n).key(), bytes_of_floats(zeros));
    d.from(d.client(n), ready);
  }
  CHECK(d.job().round == 1);
  CHECK(d.latest_model() == zeros);
}

TEST_CASE("round: figures that are not numbers do not reach the metrics") {
  Driver d(2);
  begin(d);
  UpdateReady ready = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  ready.evaluation.loss_sum = std::numeric_limits<double>::quiet_NaN();
  ready.train.loss_sum = -std::numeric_limits<double>::infinity();
  ready.train.seconds = std::numeric_limits<double>::infinity();
  d.from(d.client(0), ready);
  d.deliver_update(d.client(1));
  const auto metrics = std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0);
  CHECK(metrics.evaluation == EvalStats{4, 8, 2});
  CHECK(metrics.train.loss_sum == 6);
  CHECK(metrics.train.seconds == 1.5);
}

TEST_CASE("round: over-selection asks more and closes at the target") {
  Driver d(4);
  begin(d, "[selection]\nmin_clients = 2\nfraction = 0.5\nover_selection = 0.5\n");
  CHECK(d.count<RoundOffer>() == 3);  // target 2, 50% more
  std::vector<std::size_t> asked;
  for (std::size_t n = 0; n < 4; ++n)
    if (d.offer_to(d.client(n))) asked.push_back(n);
  REQUIRE(asked.size() == 3);
  const UpdateReady late = d.ready(d.client(asked[2]), d.offer_to(d.client(asked[2])).value());
  d.deliver_update(d.client(asked[0]));
  d.deliver_update(d.client(asked[1]));
  CHECK(d.job().round == 1);
  CHECK(d.last<RoundClosed>(d.client(asked[2]).key())->committed);
  d.from(d.client(asked[2]), late);
  CHECK(d.last<UpdateRefused>(d.client(asked[2]).key())->error.code == ErrorCode::kUnavailable);
}

TEST_CASE("round: a client that declines is not waited for, nor asked again until it rejoins") {
  Driver d(3);
  begin(d);
  CHECK(d.count<RoundOffer>() == 3);
  d.from(d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kPolicy, "job not allowed here"});
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));
  CHECK(d.job().round == 1);
  CHECK(d.all<RoundOffer>(d.client(0).key()).size() == 1);
  d.from(d.client(0), Leave{});
  d.join(d.client(0));
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));
  CHECK(d.all<RoundOffer>(d.client(0).key()).size() == 2);  // the evaluation, after it rejoined
}

TEST_CASE("round: a busy client is asked again soon") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n");
  d.from(d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kBusy, ""});
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));  // quorum of 3 is 2
  CHECK(d.job().round == 1);
  CHECK(d.logged("waiting_for_clients") == 1);
  for (int i = 0; i < 3; ++i) {
    d.advance(4s);
    for (std::size_t n = 0; n < 3; ++n) d.from(d.client(n), Heartbeat{1});
  }
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 2, 1});
}

TEST_CASE("round: below the quorum the attempt is abandoned, and after the last one the job fails") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 1.0\ndeadline_s = 10\nattempts_max = 2\n");
  d.deliver_update(d.client(0));
  const auto alive = [&] {
    for (std::size_t n = 0; n < 3; ++n) d.from(d.client(n), Heartbeat{1});
  };
  d.advance(9s);
  alive();
  CHECK(d.logged("attempt_abandoned") == 0);
  d.advance(2s);
  CHECK(d.logged("attempt_abandoned") == 1);
  CHECK_FALSE(d.last<RoundClosed>(d.client(0).key())->committed);
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 1, 2});
  CHECK_FALSE(d.blobs.has(blob_ref_of(bytes_of_floats(d.update_of(d.client(0).key(), 1))).id));
  alive();
  d.advance(9s);
  alive();
  d.advance(2s);
  CHECK(d.job().state == JobState::kFailed);
  CHECK(d.job().text.find("attempts_max = 2") != std::string::npos);
  CHECK(d.logged("job_failed") == 1);
}

TEST_CASE("round: a job that fails because its clients did says what the last of them said") {
  Driver d(2);
  begin(d, "[selection]\nmin_clients = 2\n[round]\nattempts_max = 1\n");
  for (std::size_t n = 0; n < 2; ++n)
    d.from(d.client(n), RoundFailed{{1, 1, 1}, Error{ErrorCode::kInvalidData, "step " + std::to_string(n) + ": the loss is NaN"}});
  CHECK(d.job().state == JobState::kFailed);
  CHECK(d.job().text.find("only 0 of 2 clients asked delivered") != std::string::npos);
  CHECK(d.job().text.find(" used up; the last that failed, ") != std::string::npos);
  CHECK(d.job().text.find(": step 1: the loss is NaN") != std::string::npos);
}

TEST_CASE("round: with the quorum the deadline commits what is there") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 0.5\ndeadline_s = 10\n");
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 0);
  d.advance(10s);
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics[0].delivered == 2);
}

TEST_CASE("round: when nobody can deliver any more it does not wait for the deadline") {
  Driver d(2);
  begin(d);
  d.from(d.client(0), RoundFailed{{1, 1, 1}, Error{ErrorCode::kInternal, "out of memory"}});
  CHECK(d.logged("attempt_abandoned") == 0);
  d.from(d.client(1), RoundFailed{{1, 1, 1}, Error{ErrorCode::kInternal, "out of memory"}});
  CHECK(d.logged("client_failed") == 2);
  CHECK(d.logged("attempt_abandoned") == 1);
}

TEST_CASE("round: a silent client holds it open only below the quorum") {
  Driver d(2);
  begin(d, "[selection]\nmin_clients = 1\n[round]\nquorum = 0.5\n");
  for (int i = 0; i < 4; ++i) {
    d.advance(4s);
    d.from(d.client(1), Heartbeat{1});
  }
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 0);
  d.advance(6s);
  CHECK(d.logged("node_lost") == 1);
  CHECK(d.job().round == 1);
}

TEST_CASE("round: a client that leaves is not waited for; one that comes back is offered the round again") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 1.0\n");
  d.deliver_update(d.client(1));
  d.from(d.client(0), Leave{});
  CHECK(d.logged("node_left") == 1);
  CHECK(d.job().round == 0);
  d.join(d.client(0));
  CHECK(d.all<RoundOffer>(d.client(0).key()).size() == 2);
  d.from(d.client(0), Leave{});
  d.deliver_update(d.client(2));
  CHECK(d.logged("attempt_abandoned") == 1);  // 2 of 3 with a quorum of 3, and nobody else can come
}

TEST_CASE("round: a lost client that rejoins delivers") {
  Driver d(2);
  begin(d, "[selection]\nmin_clients = 2\n[round]\nquorum = 1.0\n");
  for (int i = 0; i < 7; ++i) {
    d.advance(4s);
    d.from(d.client(1), Heartbeat{1});
  }
  CHECK(d.logged("node_lost") == 1);
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 0);
  d.from(d.client(0), Heartbeat{1});
  CHECK(d.count<RejoinRequired>() == 1);
  const std::size_t offers = d.all<RoundOffer>(d.client(0).key()).size();
  d.join(d.client(0), 1, 2);
  CHECK(d.all<RoundOffer>(d.client(0).key()).size() == offers + 1);
  d.from(d.client(0).link(2), d.ready(d.client(0), d.offer_to(d.client(0)).value()));
  CHECK(d.job().round == 1);
}

TEST_CASE("round: a revoked member's update does not count, even while it is being summed") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 0.5\n");
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  d.hold_work = true;
  d.deliver_update(d.client(2));
  REQUIRE(d.held_work.size() == 1);
  d.finish_work(StartWork(d.held_work.front()));  // the check; now the sum is held
  REQUIRE(d.held_work.size() == 2);
  REQUIRE(std::get<Aggregate>(d.held_work.back().work).contributions.size() == 3);
  CHECK(std::holds_alternative<Done>(d.ask(RevokeNode{"client-2"})));
  CHECK(d.job().round == 0);
  CHECK(d.logged("attempt_abandoned") == 1);
  d.hold_work = false;
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 1, 1});  // three are needed and two are left
  CHECK_FALSE(d.admitted.contains(d.client(2).key()));
  d.from(d.client(2), Heartbeat{1});
  CHECK(d.all<RejoinRequired>(d.client(2).key()).empty());
}

TEST_CASE("round: many updates are fetched a bounded number at a time") {
  Driver d(60);
  begin(d);
  d.hold_fetches = true;
  for (std::size_t n = 0; n < 60; ++n) d.deliver_update(d.client(n));
  CHECK(d.held_fetches.size() == 32);
  while (!d.held_fetches.empty()) {
    const FetchBlob fetch = d.held_fetches.front();
    d.held_fetches.erase(d.held_fetches.begin());
    REQUIRE(d.blobs.put(d.served[fetch.from][fetch.blob.id]));
    d.deliver(BlobFetched{fetch.ticket, fetch.blob, {}});
  }
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 60);
}

TEST_CASE("round: one client's update alone becomes the model only where the job allows it") {
  Driver d(2);
  begin(d, "[selection]\nmin_clients = 2\n[round]\nquorum = 0.5\nattempts_max = 1\n");
  d.from(d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kData, ""});
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 0);
  CHECK(d.job().state == JobState::kFailed);
}

}  // namespace covey
