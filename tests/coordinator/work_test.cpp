// The memory that the coordinator's work takes, against its bound.
#include "coordinator/work.h"

#include <doctest/doctest.h>

#include "aggregation/robust_mean.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

constexpr std::size_t kClients = 8;

// A round of a logistic model whose updates are combined by their median.
struct RobustRound {
  RobustRound() {
    work.job.model.inputs = 9000;
    work.job.model.classes = 4;
    work.job.server.combine = CombineKind::kMedian;
    work.key = {1, 1, 1};
    work.next_version = 1;
    parameters = parameter_table(work.job.model).size;
    work.model = write_model(blobs, work.job.model, 0, std::vector<float>(parameters)).value();
    for (std::size_t n = 0; n < kClients; ++n)
      work.contributions.push_back({blobs.put(bytes_of_floats(std::vector<float>(parameters, static_cast<float>(n)))).value(), 1});
  }
  Result<WorkValue> with(std::uint64_t memory, std::size_t threads = 4) {
    return CoordinatorWork({threads, memory, {}}).compute(work, blobs);
  }
  MemoryBlobs blobs;
  Aggregate work;
  std::size_t parameters = 0;
};

}  // namespace

TEST_CASE("work: a robust rule keeps to the memory bound: slower with little, refused with too little, the same bits") {
  RobustRound round;
  const auto all = round.with(~std::uint64_t{0});
  REQUIRE(all);
  const std::uint64_t least = robust_bytes_min(kClients);
  for (const std::uint64_t memory : {least, least + 1, 3 * least, robust_bytes_wanted(kClients)}) {
    const auto one = round.with(memory);
    REQUIRE_MESSAGE(one, one.error().message);
    CHECK(std::get<Aggregated>(*one).model == std::get<Aggregated>(*all).model);
  }
  const auto refused = round.with(least - 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().message.find("job 1 round 1 attempt 1: combining 8 updates takes at least 40960 bytes and 0 are taken; "
                                     "--memory allows 40959") == 0);
}

TEST_CASE("work: sums and robust rules share the bound, and what was borrowed is given back") {
  RobustRound round;
  const std::uint64_t least = robust_bytes_min(kClients);
  CheckUpdate sum;
  sum.update = round.work.contributions[1].update;
  sum.parameters = round.parameters;
  sum.sum = SumInto{{2, 1, 1}, 1};
  sum.job = 2;
  const std::uint64_t bytes = RoundSum::memory_bytes(round.parameters);
  CoordinatorWork work({2, bytes + least - 1, {}});
  REQUIRE(work.compute(round.work, round.blobs));
  REQUIRE(work.compute(sum, round.blobs));  // so nothing is lent any more
  CHECK(work.compute(round.work, round.blobs).error().code == ErrorCode::kResourceExhausted);
  REQUIRE(work.compute(DropSum{{2, 1, 1}}, round.blobs));
  CHECK(work.compute(round.work, round.blobs));
}

TEST_CASE("work: a job's initial model is that of its start, and of the seed where the start says nothing") {
  MemoryBlobs blobs;
  JobSpec job;
  job.model.family = ModelFamily::kTransformer;
  job.model.layers = 2;
  job.model.width = 8;
  job.model.heads = 2;
  job.model.context = 4;
  job.model.lora = {2, 4, 0, {"*q_proj"}};
  const auto seeded = coordinator_work(InitModel{job}, blobs);
  REQUIRE(seeded);
  const auto own = read_model(blobs, std::get<ModelReady>(*seeded).model.id);
  REQUIRE(own);

  job.start = "published";
  const auto refused = coordinator_work(InitModel{job}, blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message.find("model.start = \"published\"") == 0);

  CoordinatorWorkConfig config;
  config.start = [](const JobSpec& asked) -> Result<ParameterReader> {
    CHECK(asked.start == "published");
    return ParameterReader([](const ParameterInfo& info) -> Result<std::optional<std::vector<float>>> {
      if (info.name.find("lora_") != std::string::npos) return std::optional<std::vector<float>>();
      return std::optional(std::vector<float>(info.size, static_cast<float>(info.offset)));
    });
  };
  const auto made = CoordinatorWork(config).compute(InitModel{job}, blobs);
  REQUIRE(made);
  const auto model = read_model(blobs, std::get<ModelReady>(*made).model.id);
  REQUIRE(model);
  for (const ParameterInfo& info : parameter_table(job.model).parameters) {
    const bool adapter = info.name.find("lora_") != std::string::npos;
    for (std::uint64_t i = info.offset; i < info.offset + info.size; ++i)
      REQUIRE(model->parameters[i] == (adapter ? own->parameters[i] : static_cast<float>(info.offset)));
  }
  config.start = [](const JobSpec&) -> Result<ParameterReader> { return unexpected(ErrorCode::kNotFound, "no such model"); };
  CHECK(CoordinatorWork(config).compute(InitModel{job}, blobs).error().message == "no such model");
}

}  // namespace covey
