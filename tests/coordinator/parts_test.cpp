#include "coordinator/blob_keeper.h"
#include "coordinator/job.h"
#include "coordinator/journal.h"
#include "coordinator/selector.h"
#include "coordinator/shard_planner.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/protocol/limits.h"

namespace covey {
namespace {

std::vector<PeerKey> peers(std::size_t count) {
  std::vector<PeerKey> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i].bytes[0] = static_cast<std::uint8_t>(i >> 8);
    out[i].bytes[1] = static_cast<std::uint8_t>(i);
  }
  return out;
}

}  // namespace

TEST_CASE("selector: target and cohort follow the formula") {
  SelectionSpec spec;
  spec.min_clients = 2;
  CHECK_FALSE(select_cohort(spec, 1, 1, 1, peers(1)));
  CHECK(select_cohort(spec, 1, 1, 1, peers(5))->cohort.size() == 5);
  spec.fraction = 0.1;
  CHECK(select_cohort(spec, 1, 1, 1, peers(100))->target == 10);
  CHECK(select_cohort(spec, 1, 1, 1, peers(101))->target == 11);
  CHECK(select_cohort(spec, 1, 1, 1, peers(5))->target == 2);
  spec.over_selection = 0.25;
  CHECK(select_cohort(spec, 1, 1, 1, peers(100))->cohort.size() == 13);
  spec.over_selection = 4;
  CHECK(select_cohort(spec, 1, 1, 1, peers(5))->cohort.size() == 5);
}

TEST_CASE("selector: bounds cut the cohort, over-selection keeps its share, and those at work count as there") {
  SelectionSpec spec;
  spec.min_clients = 2;
  spec.over_selection = 0.5;
  CHECK(cohort_size(spec, 100) == CohortSize{100, 100});
  CHECK(cohort_size(spec, 100, {0, 30}) == CohortSize{20, 30});
  CHECK(cohort_size(spec, 100, {0, 1000, 30}) == CohortSize{30, 45});
  CHECK(cohort_size(spec, 100, {0, 40, 30}) == CohortSize{26, 40});
  CHECK(cohort_size(spec, 100, {0, 2, 2}) == CohortSize{2, 2});
  CHECK(cohort_size(spec, 3, {100, 50}) == CohortSize{3, 3});
  CHECK_FALSE(cohort_size(spec, 1, {100, 50}));
  spec.fraction = 0.1;
  CHECK(cohort_size(spec, 50, {100}) == CohortSize{10, 15});
  CHECK(cohort_size(spec, 4, {100}) == CohortSize{4, 4});
}

TEST_CASE("selector: seeded, ascending, whatever the order of the candidates") {
  SelectionSpec spec;
  spec.fraction = 0.2;
  auto forward = peers(50), backward = peers(50);
  std::reverse(backward.begin(), backward.end());
  const auto one = select_cohort(spec, 9, 3, 1, forward);
  CHECK(one == select_cohort(spec, 9, 3, 1, backward));
  CHECK(one != select_cohort(spec, 9, 3, 2, forward));
  CHECK(one != select_cohort(spec, 9, 4, 1, forward));
  CHECK(one != select_cohort(spec, 8, 3, 1, forward));
  CHECK(std::is_sorted(one->cohort.begin(), one->cohort.end()));
}

TEST_CASE("selector: over many rounds everyone is drawn about equally often") {
  SelectionSpec spec;
  spec.fraction = 0.5;
  std::map<PeerKey, int> drawn;
  for (std::uint32_t round = 1; round <= 1000; ++round) {
    const auto selected = select_cohort(spec, 5, round, 1, peers(10));
    for (const PeerKey& peer : selected->cohort) ++drawn[peer];
  }
  for (const auto& [peer, times] : drawn) {
    CHECK(times > 430);  // 500 expected, standard deviation 16
    CHECK(times < 570);
  }
}

TEST_CASE("shard planner: all shards, or a refusal with both sizes") {
  JobSpec job;
  job.model.inputs = 10;
  job.model.classes = 2;
  ShardPlanner planner(job);
  CHECK(planner.parameters() == 22);
  CHECK(planner.training_bytes_min() == 22 * 4 * 3);
  Capability has;
  has.memory_bytes = 264;
  CHECK(planner.plan(has).value() == std::vector<std::uint32_t>{0});
  has.memory_bytes = 263;
  const auto refused = planner.plan(has);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("264") != std::string::npos);
  CHECK(refused.error().message.find("263") != std::string::npos);
  job.train.optimizer = LocalOptimizer::kAdamW;
  CHECK(ShardPlanner(job).training_bytes_min() == 22 * 4 * 5);
}

TEST_CASE("outbox: nothing overtakes a write, even when answers come out of order") {
  Outbox out;
  Batch batch;
  batch.put("a", {1});
  out.persist(batch);
  out.send(Link{}, Ping{});
  out.persist(batch);
  out.send(Link{}, HeartbeatAck{});
  out.say(Link{}, RejoinRequired{});
  Commands first = out.take();
  REQUIRE(first.size() == 3);
  CHECK(std::holds_alternative<RejoinRequired>(std::get<Send>(first[2]).message));
  const Ticket one = std::get<Persist>(first[0]).ticket, two = std::get<Persist>(first[1]).ticket;
  out.persisted(two);
  CHECK(out.take().empty());
  out.persisted(one);
  const Commands rest = out.take();
  REQUIRE(rest.size() == 2);
  CHECK(std::holds_alternative<Ping>(std::get<Send>(rest[0]).message));
  out.persist(Batch{});
  out.send(Link{}, Ping{});
  CHECK(out.take().size() == 1);  // an empty batch is no write
}

TEST_CASE("blob keeper: a blob taken up again before its erasure is released stays") {
  Outbox out;
  BlobKeeper blobs(out);
  const Digest blob{{1}}, other{{2}};
  blobs.hold(blob);
  blobs.hold(other);
  Batch batch;
  batch.put("a", {1});
  out.persist(batch);
  blobs.drop(blob);
  blobs.drop(other);
  blobs.hold(blob);
  const Ticket ticket = std::get<Persist>(out.take().at(0)).ticket;
  out.persisted(ticket);
  const Commands released = out.take();
  REQUIRE(released.size() == 1);
  CHECK(std::get<EraseBlob>(released[0]).blob == other);
}

TEST_CASE("blob keeper: published once, withdrawn with the last") {
  Outbox out;
  BlobKeeper blobs(out);
  const Digest blob{{1}};
  blobs.show(blob);
  blobs.show(blob);
  CHECK(out.take().size() == 1);
  blobs.hide(blob);
  CHECK(out.take().empty());
  blobs.hide(blob);
  CHECK(out.take().size() == 1);
}

TEST_CASE("journal: keeps the last ten thousand, and short texts") {
  Journal journal;
  Batch batch;
  for (int i = 0; i < 10'005; ++i) journal.write(batch, Instant{}, i % 2 == 0 ? 1 : 2, std::string(500, 'x'));
  CHECK(batch.puts.size() == 10'005);
  CHECK(batch.deletes.size() == 5);
  const auto page = journal.page(0, 0);
  CHECK(page.size() == kJournalPageTextBytesMax / 500);  // long texts: fewer entries, so that they fit a control frame
  CHECK(page.front().sequence == 6);
  CHECK(page.front().text.size() == 500);
  CHECK(journal.page(1, 10'000).size() == 3);
  journal.write(batch, Instant{}, 1, std::string(600, 'y'));
  CHECK(journal.page(1, 10'005).front().text.size() == kJournalTextBytesMax);
  for (int i = 0; i < 60; ++i) journal.write(batch, Instant{}, 3, "short");
  CHECK(journal.page(3, 0).size() == kPageRowsMax);
  CHECK(shortened("h\xc3\xa9h\xc3\xa9", 5) == "h...");
}

TEST_CASE("job: client figures of the oldest rounds go when there are too many") {
  Job job;
  job.id = 1;
  std::vector<std::pair<PeerKey, ClientMetrics>> clients;
  for (const PeerKey& peer : peers(40'000)) clients.emplace_back(peer, ClientMetrics{});
  Batch batch;
  for (std::uint32_t round = 1; round <= 3; ++round) {
    RoundMetrics metrics;
    metrics.round = round;
    put_metrics(job, batch, metrics, clients);
  }
  CHECK(job.client_rows == 80'000);
  CHECK_FALSE(job.clients.contains(1));
  CHECK(batch.deletes.size() == 40'000);
  CHECK(job.metrics.size() == 3);
}

TEST_CASE("job: figures are made safe") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(sane(EvalStats{nan, 5, 2}) == EvalStats{});
  CHECK(sane(EvalStats{-1, 5, 2}) == EvalStats{});
  CHECK(sane(EvalStats{1, 5, 9}) == EvalStats{1, 5, 5});
  CHECK(sane(TrainStats{nan, 5, 2, nan}) == TrainStats{0, 0, 2, 0});
  CHECK(sane(TrainStats{1, 5, 2, -3}) == TrainStats{1, 5, 2, 0});
}

}  // namespace covey
