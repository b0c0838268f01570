#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/protocol/manifest.h"
#include "sim/operator_node.h"
#include "sim/population.h"
#include "sim/report.h"
#include "sim/sim_blobs.h"
#include "sim/sim_store.h"

using namespace covey;

namespace {

Batch one_row(const std::string& key) {
  Batch batch;
  batch.put(key, {1});
  return batch;
}

Bytes pattern(std::size_t size) {
  Bytes value(size);
  for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<std::uint8_t>(i * 7 + i / kChunkBytes);
  return value;
}

}  // namespace

TEST_CASE("sim store: a crash keeps a prefix of what was under way, never a gap") {
  std::set<std::size_t> seen;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    SimStore store;
    store.begin(one_row("a"));
    store.finish_oldest();
    for (const char* key : {"b", "c", "d"}) store.begin(one_row(key));
    Random random(seed);
    store.crash(random);
    const std::vector<Row> rows = store.rows();
    REQUIRE(rows.size() >= 1);
    const std::string keys = "abcd";
    for (std::size_t i = 0; i < rows.size(); ++i) CHECK(rows[i].key == keys.substr(i, 1));
    seen.insert(rows.size());
  }
  CHECK(seen == std::set<std::size_t>{1, 2, 3, 4});
}

TEST_CASE("sim blobs: nodes share bytes but not possession") {
  BlobPool pool;
  SimBlobs a(pool);
  SimBlobs b(pool);
  const Bytes value = pattern(kChunkBytes + 100);
  const auto blob = a.put(value);
  REQUIRE(blob.has_value());
  CHECK_FALSE(b.has(blob->id));
  CHECK(b.get(blob->id).error().code == ErrorCode::kNotFound);
  REQUIRE(b.put(value).has_value());
  REQUIRE(a.erase(blob->id).has_value());
  CHECK_FALSE(a.has(blob->id));
  CHECK(b.get(blob->id).value() == value);
}

TEST_CASE("sim blobs: a partial value takes only chunks that fit its hashes, and resumes") {
  BlobPool pool;
  SimBlobs from(pool);
  SimBlobs to(pool);
  const Bytes value = pattern(2 * kChunkBytes + 5);
  const auto blob = from.put(value);
  const auto hashes = from.chunk_hashes(blob->id);
  REQUIRE(hashes.has_value());
  CHECK(to.begin_partial(*blob, *hashes).value() == std::vector<bool>{false, false, false});
  const ByteSpan all(value);
  CHECK_FALSE(to.write_chunk(blob->id, 0, all.subspan(kChunkBytes, kChunkBytes)).has_value());
  CHECK(to.write_chunk(blob->id, 1, all.subspan(kChunkBytes, kChunkBytes)).has_value());
  CHECK(to.begin_partial(*blob, *hashes).value() == std::vector<bool>{false, true, false});
  CHECK(to.write_chunk(blob->id, 0, all.first(kChunkBytes)).has_value());
  CHECK(to.write_chunk(blob->id, 2, all.subspan(2 * kChunkBytes)).has_value());
  CHECK(to.finish_partial(blob->id).has_value());
  CHECK(to.get(blob->id).value() == value);
}

TEST_CASE("sim blobs: a crash may lose any chunk of a partial value and no whole value") {
  std::set<std::vector<bool>> seen;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    BlobPool pool;
    SimBlobs from(pool);
    SimBlobs to(pool);
    const Bytes value = pattern(2 * kChunkBytes + 5);
    const auto blob = from.put(value);
    const auto hashes = from.chunk_hashes(blob->id);
    REQUIRE(to.begin_partial(*blob, *hashes));
    const ByteSpan all(value);
    REQUIRE(to.write_chunk(blob->id, 0, all.first(kChunkBytes)));
    REQUIRE(to.write_chunk(blob->id, 2, all.subspan(2 * kChunkBytes)));
    Random random(seed);
    from.crash(random);
    CHECK(from.get(blob->id).value() == value);
    to.crash(random);
    seen.insert(to.begin_partial(*blob, *hashes).value());
  }
  CHECK(seen.size() == 4);
  for (const auto& have : seen) CHECK_FALSE(have[1]);
}

TEST_CASE("sim blobs: a full disk takes nothing, and serves what it has") {
  BlobPool pool;
  SimBlobs node(pool);
  const auto blob = node.put(pattern(10));
  node.set_full(true);
  CHECK(node.put(pattern(11)).error().code == ErrorCode::kDiskFull);
  CHECK(node.begin_partial({Digest{}, 3}, {Digest{}}).error().code == ErrorCode::kDiskFull);
  CHECK(node.get(blob->id).value() == pattern(10));
  node.set_full(false);
  CHECK(node.put(pattern(11)).has_value());
}

TEST_CASE("staged blobs: work that a crash cuts short leaves a prefix of what it put") {
  std::set<std::size_t> seen;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    BlobPool pool;
    SimBlobs node(pool);
    StagedBlobs staged(node);
    std::vector<BlobRef> put;
    for (std::size_t size = 1; size <= 3; ++size) put.push_back(staged.put(pattern(size)).value());
    Random random(seed);
    staged.crash(random);
    std::size_t there = 0;
    while (there < put.size() && node.has(put[there].id)) ++there;
    CHECK(node.list().value().size() == there);
    seen.insert(there);
  }
  CHECK(seen == std::set<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("staged blobs: nothing shows in the node until it is released") {
  BlobPool pool;
  SimBlobs node(pool);
  StagedBlobs staged(node);
  const auto blob = staged.put(pattern(10));
  REQUIRE(blob.has_value());
  CHECK(staged.has(blob->id));
  CHECK_FALSE(node.has(blob->id));
  staged.release();
  CHECK(node.get(blob->id).value() == pattern(10));
}

TEST_CASE("sim identities: certificates hold under the world's authority and no other") {
  const SimIdentity identity = sim_identity(7, "client-1", Role::kClient);
  CHECK(verify(identity.certificate, sim_authority(7).public_key()).has_value());
  CHECK_FALSE(verify(identity.certificate, sim_authority(8).public_key()).has_value());
  CHECK(sim_identity(7, "client-2", Role::kClient).key != identity.key);
  CHECK(sim_identity(7, "client-1", Role::kClient).key == identity.key);
}

TEST_CASE("sim identities: each has a credential that is its own under the world's authority") {
  const SimIdentity one = sim_identity(7, "client-0", Role::kClient);
  const SimIdentity other = sim_identity(7, "client-1", Role::kClient);
  const VerifyKey authority = sim_authority(7).public_key();
  CHECK(verify(one.credential, one.certificate, authority, kCredentialEpochFirst).has_value());
  CHECK_FALSE(verify(one.credential, other.certificate, authority, kCredentialEpochFirst).has_value());
  CHECK_FALSE(verify(one.credential, one.certificate, sim_authority(8).public_key(), kCredentialEpochFirst).has_value());
  CHECK(one.signing->public_key() == one.certificate.signing);
}

TEST_CASE("sim operator: vouches again for one who is not there yet, not for one shut out, and waits for neither") {
  const SimIdentity late = sim_identity(7, "late", Role::kClient), gone = sim_identity(7, "gone", Role::kClient);
  OperatorNode::View view;
  OperatorNode person(PeerKey{{1}}, {BlobRef{Digest{{2}}, 10}},
                      {{Duration::zero(), IssueCredentials{{{late.key, late.credential}}}},
                       {Duration::zero(), IssueCredentials{{{gone.key, gone.credential}}}}},
                      view);
  const Instant now = instant_of_nanos(1);
  person.handle(Started{}, now);
  for (const char* due : {"order/1", "order/2"}) person.handle(TimerFired{due}, now);
  const auto asked = [](const Commands& commands) {
    std::vector<OperatorRequest> requests;
    for (const Command& command : commands)
      if (const auto* send = std::get_if<Send>(&command)) requests.push_back(std::get<OperatorRequest>(send->message));
    return requests;
  };
  const auto reply = [&](std::uint64_t id, OperatorAnswer answer) {
    return person.handle(Received{{PeerKey{{1}}, 1}, OperatorReply{id, std::move(answer)}}, now);
  };
  auto requests = asked(person.handle(TimerFired{"poll"}, now));
  REQUIRE(requests.size() == 3);
  reply(requests[0].id, Submitted{1});
  reply(requests[1].id, Error{ErrorCode::kNotFound, "not enrolled"});
  reply(requests[2].id, Error{ErrorCode::kPermissionDenied, "revoked"});
  requests = asked(person.handle(TimerFired{"poll"}, now));
  REQUIRE(requests.size() == 2);  // the late one again, and how the job is
  CHECK(std::holds_alternative<IssueCredentials>(requests[0].verb));
  JobDetail over;
  over.summary.job = 1;
  over.summary.state = JobState::kFinished;
  const Commands last = reply(requests[1].id, over);
  REQUIRE(last.size() == 1);
  CHECK(std::holds_alternative<Halt>(last[0]));
}

TEST_CASE("report: a campaign tells stalemates and what was not run from what passed") {
  Campaign campaign;
  campaign.done = 10;
  campaign.failures = {{3, "lost an update"}};
  campaign.stalemates = {{4, "job 1: waits"}, {5, "job 1: waits"}};
  CHECK(campaign_text({campaign, 10, false, 1}).starts_with("7 of 10 fault seeds passed, 1 failed, 2 ended in a stalemate"));
  CHECK(campaign_text({campaign, 200, true, 1}).starts_with("10 of 200 fault seeds run, interrupted: 7 passed, 1 failed, 2 ended"));
  const std::string line = campaign_json({campaign, 200, true, 1});
  for (const char* part : {"\"wanted\":200", "\"seeds\":10", "\"passed\":7", "\"failed\":1", "\"stalemates\":2", "\"interrupted\":true"})
    CHECK(line.find(part) != std::string::npos);
}

TEST_CASE("report: a line has one unit: bits of text, by byte or by token, and nats and shares of everything else") {
  JobSpec job;
  job.rounds = 2;
  RoundMetrics metrics;
  metrics.round = 1;
  metrics.train.loss_sum = 8 * std::log(2.0);
  metrics.train.targets = 2;
  metrics.evaluation.loss_sum = 3 * std::log(2.0);
  metrics.evaluation.targets = 1;
  job.model.family = ModelFamily::kTransformer;
  CHECK(round_line(job, metrics).find("train 4.0000 bits/byte, held out before it 3.0000 bits/byte") != std::string::npos);
  job.data.tokenizer_sha256 = std::string(64, 'a');
  CHECK(round_line(job, metrics).find("train 4.0000 bits/token, held out before it 3.0000 bits/token") != std::string::npos);
  job.model.family = ModelFamily::kMlp;
  job.data.format = DataFormat::kIdx;
  CHECK(round_line(job, metrics).find("train loss 2.7726 nats, held out before it 0.00 %") != std::string::npos);
}

TEST_CASE("report: JSON stays JSON when nothing was measured") {
  JobSpec job;
  RoundMetrics metrics;
  metrics.round = 1;
  const std::string line = round_json(job, metrics);
  CHECK(line.find("nan") == std::string::npos);
  CHECK(line.find("\"train_loss\":null") != std::string::npos);
}
