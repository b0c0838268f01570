#include "coordinator/service/start_models.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "core/data/hf/hf_model.h"
#include "tests/core/base/temporary_folder.h"

namespace covey {
namespace {

std::string vector_of(const std::string& name) { return std::string(COVEY_SOURCE_DIR) + "/tests/vectors/engine/" + name; }

}  // namespace

TEST_CASE("start models: the one that is named is read, if it is the job's") {
  const TemporaryFolder models;
  JobSpec job;
  job.model.family = ModelFamily::kTransformer;
  job.start = "small";
  const auto none = open_start(models.path(), job);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kNotFound);
  CHECK(none.error().message.find("there is none yet") != std::string::npos);

  std::filesystem::copy(vector_of("hf_llama"), models / "small", std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(models / "broken");
  const auto other = open_start(models.path(), job);
  REQUIRE_FALSE(other);
  CHECK(other.error().message.find("model.start = \"small\": model.") == 0);
  job.start = "absent";
  CHECK(open_start(models.path(), job).error().message.find("there are broken small") != std::string::npos);
  job.start = "broken";
  CHECK(open_start(models.path(), job).error().message.find("config.json") != std::string::npos);

  job.start = "small";
  const auto folder = HfFolder::open(models / "small");
  REQUIRE(folder.has_value());
  job.model = model_spec_of(folder->config(), 0).value();
  job.model.lora = {2, 4, 0, {"*q_proj"}};
  const auto reader = open_start(models.path(), job);
  REQUIRE_MESSAGE(reader.has_value(), (reader ? "" : reader.error().message));
  std::vector<float> base;
  std::size_t adapters = 0;
  for (const ParameterInfo& info : parameter_table(job.model).parameters) {
    const auto values = (*reader)(info);
    REQUIRE(values.has_value());
    adapters += *values ? 0 : 1;
    if (*values) base.insert(base.end(), (*values)->begin(), (*values)->end());
  }
  CHECK(adapters == 2 * job.model.layers);
  CHECK(base == read_base_parameters(*folder, job.model).value());
}

}  // namespace covey
