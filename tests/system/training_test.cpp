// How a client computes: what a job says of it is done, what it leaves open is chosen to fit the client's
// memory, and the client's log says what and why.
#include <doctest/doctest.h>

#include <signal.h>

#include <cstdio>

#include "client/train_plan.h"
#include "core/base/random.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

// A text that can be learned, and a job of one client on it.
void write_words(const Federation& federation) {
  std::string text;
  Random random(3);
  const char* words[] = {"the king ", "shall not ", "speak of ", "love and ", "death.\n"};
  while (text.size() < 12'000) text += words[random.below(5)];
  write_text(federation.data_of(0) + "/words.txt", text);
}

std::string text_job(const std::string& name, const std::string& train, const std::string& model = "") {
  return "name = \"" + name + "\"\nrounds = 1\n[model]\nfamily = \"transformer\"\nlayers = 2\nwidth = 32\nheads = 2\ncontext = 32\n" + model +
         "[data]\nformat = \"text\"\n[train]\noptimizer = \"adamw\"\nlearning_rate = 3e-3\n" + train +
         "[selection]\nmin_clients = 1\n[privacy]\nsecure_aggregation = false\n";
}

struct Said {
  std::string plan, why;
  const LogLine* adapted = nullptr;
};

Said run_job(Federation& federation, const std::string& name, const std::string& toml) {
  const std::string path = federation.folder() + "/" + name + ".toml";
  write_text(path, toml);
  const Process& run = federation.covey({"run", "--detach", "--json", path});
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  const std::string end = federation.await_end(nlohmann::json::parse(run.out()).at("job").get<JobId>(), 60);
  INFO(federation.client(0).errors());
  REQUIRE(end == "job_finished");
  Said done;
  for (const LogLine& line : federation.client(0).lines()) {
    if (line.text("job") != name) continue;
    if (line.event == "training_planned") done.plan = line.text("plan"), done.why = line.text("why");
    if (line.event == "batch_adapted") done.adapted = &line;
  }
  return done;
}

bool has(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("training: a client computes as the job says, and says so") {
  Federation federation(1);
  write_words(federation);
  federation.start_all();
  const Said whole = run_job(federation, "whole", text_job("whole", "local_steps = 4\nbatch_size = 16\nprecision = \"f32\"\ncheckpointing = \"none\"\n"));
  CHECK(has(whole.plan, "f32, 16 examples at once"));
  CHECK_FALSE(has(whole.plan, "twice"));
  CHECK(has(whole.why, "f32 as the job says"));
  const Said narrow = run_job(federation, "narrow", text_job("narrow", "local_steps = 4\nbatch_size = 16\nprecision = \"bf16\"\ncheckpointing = \"block\"\nmicro_batch = 4\n"));
  CHECK(has(narrow.plan, "bf16, 4 examples at once, blocks computed twice"));
  const Said scaled = run_job(federation, "scaled", text_job("scaled", "local_steps = 4\nbatch_size = 16\nprecision = \"fp16\"\n"));
  CHECK(has(scaled.plan, "fp16, 16 examples at once"));
  const Said bytes = run_job(federation, "bytes", text_job("bytes", "local_steps = 4\nbatch_size = 16\nfrozen_storage = \"int8\"\n", "[model.lora]\nrank = 2\n"));
  CHECK(has(bytes.plan, "frozen weights in int8"));
  CHECK(whole.adapted == nullptr);
  const Said moves = run_job(federation, "moves", text_job("moves", "local_steps = 40\nbatch_size = 2\nbatch_max = 32\n"));
  REQUIRE(moves.adapted != nullptr);
  CHECK(moves.adapted->number("batch") >= 2);
  CHECK(moves.adapted->number("batch") <= 32);
  // What it measured of its data is said at the site alone.
  CHECK_FALSE(federation.coordinator().says("noise_scale"));
  CHECK_FALSE(federation.coordinator().says("batch_adapted"));
}

TEST_CASE("training: a client of little memory computes smaller pieces, or blocks twice, by itself") {
  JobSpec job = parse_job(text_job("little", "local_steps = 2\nbatch_size = 256\nprecision = \"f32\"\n")).value();
  job.model.layers = 8;
  // Just enough for blocks computed twice, in the smallest pieces that keep a processor busy.
  JobSpec twice = job;
  twice.train.checkpointing = Checkpointing::kBlock;
  twice.train.micro_batch = 32;
  const std::uint64_t least = plan_training(twice, {}).value().bytes;
  const std::uint64_t allowed = least + (least >> 6U);
  const TrainPlan expected = plan_training(job, {allowed, Bf16Speed::kSlow, {}}).value();
  REQUIRE(expected.checkpointing == Checkpointing::kBlock);
  REQUIRE(expected.micro_batch == 32);

  Federation federation(1);
  write_words(federation);
  federation.start_all();
  Process& first = federation.client(0);
  first.signal(SIGTERM);
  federation.nursery().finish(first);
  Launch little = federation.client_launch(0);
  char memory[32];
  std::snprintf(memory, sizeof memory, "%.9f", static_cast<double>(allowed) / (1024.0 * 1024 * 1024));
  little.arguments.insert(little.arguments.end(), {"--memory", memory});
  federation.start_client(0, little);
  const std::string toml = text_job("little", "local_steps = 2\nbatch_size = 256\nprecision = \"f32\"\n", "");
  std::string deep = toml;
  deep.replace(deep.find("layers = 2"), 10, "layers = 8");
  const Said done = run_job(federation, "little", deep);
  CHECK(has(done.plan, "f32, 32 examples at once, blocks computed twice"));
  CHECK(has(done.why, "more at once would take"));
  CHECK(has(done.why, "allowed"));
}
