// Jobs with frozen parameters: how long their updates are, and that a job of a version that sent all of them goes on so.
#include "coordinator/tables.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/job_fit.h"
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

// Adapters of 64 parameters.
std::string adapters_text() {
  return "name = \"adapters\"\nrounds = 4\n[model]\nfamily = \"transformer\"\nlayers = 1\nwidth = 16\nheads = 2\nvocabulary = 256\ncontext = 8\n"
         "[model.lora]\nrank = 2\ntargets = [\"*q_proj\"]\n[data]\nformat = \"text\"\n[train]\nlocal_steps = 1\n"
         "[selection]\nmin_clients = 2\n[server]\noptimizer = \"fedavgm\"\n[privacy]\nsecure_aggregation = false\n";
}

// What each version's command line submits.
std::string submitted_now() { return to_toml(parse_job(adapters_text()).value()); }
std::string submitted_before() {
  std::string text = submitted_now();
  const std::string line = "exchange = 'trained'\n";
  return text.erase(text.find(line), line.size());
}

UpdateReady ready(Driver& d, std::size_t client, std::size_t values) {
  const Identity& id = d.client(client);
  const RoundOffer offer = d.offer_to(id).value();
  UpdateReady ready{offer.key, offer.model.id, std::nullopt, 10, {6, 12, 3, 1.5}, {4, 8, 2}};
  std::vector<float> update(values);
  for (std::size_t i = 0; i < values; ++i) update[i] = 0.001F * static_cast<float>(i % 7 + client + offer.key.round);
  ready.update = d.lay_out(id.key(), bytes_of_floats(update));
  return ready;
}

void round_of(Driver& d, std::size_t values) {
  const std::uint32_t before = d.job().round;
  for (std::size_t client = 0; client < 2; ++client) d.from(d.client(client), ready(d, client, values));
  REQUIRE(d.job().round == before + 1);
}

void restart(Driver& d) {
  d.restart();
  d.join_all();
}

ModelRow model_row(Driver& d) {
  const std::string key = model_key(1, d.job().round);
  return decode_model_row(*d.store.get(key).value()).value();
}

struct Sizes {
  std::size_t all = 0, trained = 0;
  Sizes() {
    const JobSpec job = parse_job(adapters_text()).value();
    all = static_cast<std::size_t>(parameter_table(job.model).size);
    trained = static_cast<std::size_t>(exchanged_size(job));
    REQUIRE(trained == 64);
    REQUIRE(all > 20 * trained);
  }
};

}  // namespace

TEST_CASE("exchange: an update has the adapters, one of all parameters is refused with both sizes") {
  const Sizes sizes;
  Driver d(2);
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(submitted_now())));
  const ModelRow initial = model_row(d);
  round_of(d, sizes.trained);
  restart(d);
  round_of(d, sizes.trained);
  round_of(d, sizes.trained);
  const ModelRow row = model_row(d);
  CHECK(row.optimizer_state->size == 4 * sizes.trained);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.back().update_bytes == 2 * 4 * sizes.trained);
  // Of the base the very blobs of the initial model are left, though versions between were pruned.
  REQUIRE(row.shards.size() == initial.shards.size());
  for (std::size_t i = 0; i + 1 < row.shards.size(); ++i) {
    CHECK(row.shards[i] == initial.shards[i]);
    CHECK(d.blobs.has(row.shards[i].id));
    CHECK(d.published.contains(row.shards[i].id));
  }
  CHECK(row.shards.back() != initial.shards.back());
  CHECK(d.latest_model().size() == sizes.all);
  d.from(d.client(0), ready(d, 0, sizes.all));
  const auto refused = d.last<UpdateRefused>(d.client(0).key());
  REQUIRE(refused.has_value());
  CHECK(refused->error.code == ErrorCode::kInvalidUpdate);
  CHECK(refused->error.message.find(std::to_string(4 * sizes.all) + " bytes; this job's have 256") != std::string::npos);
}

TEST_CASE("exchange: a job of a version that sent all parameters goes on so, over a restart") {
  const Sizes sizes;
  Driver d(2), now(2);
  for (Driver* one : {&d, &now}) one->join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(submitted_before())));
  REQUIRE(std::holds_alternative<Submitted>(now.submit(submitted_now())));
  const Digest config = d.offer_to(d.client(0))->config.id;
  // What its clients read says nothing that they would not know.
  const std::string told(text_of(*d.blobs.get(config)));
  CHECK(told.find("exchange") == std::string::npos);
  CHECK(parse_accepted_job(told)->update.exchange == Exchange::kAll);
  CHECK(std::string(text_of(*now.blobs.get(now.offer_to(now.client(0))->config.id))).find("exchange = 'trained'") != std::string::npos);
  round_of(d, sizes.all);
  restart(d);
  CHECK(d.offer_to(d.client(0))->config.id == config);
  round_of(d, sizes.all);
  CHECK(model_row(d).optimizer_state->size == 4 * sizes.all);
  d.from(d.client(0), ready(d, 0, sizes.trained));
  CHECK(d.last<UpdateRefused>(d.client(0).key())->error.message.find("256 bytes; this job's have " + std::to_string(4 * sizes.all)) != std::string::npos);
}

}  // namespace covey
