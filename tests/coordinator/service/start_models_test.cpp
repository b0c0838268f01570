#include "coordinator/service/start_models.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "core/data/hf/hf_model.h"
#include "tests/core/base/temporary_folder.h"

namespace covey {
namespace {

std::string vector_of(const std::string& name) { return std::string(COVEY_SOURCE_DIR) + "/tests/vectors/engine/" + name; }

struct Lines final : Log {
  void write(const LogEntry& entry) override { entries.push_back(entry); }
  std::vector<LogEntry> entries;
};

void flip_bit(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-3, std::ios::end);
  const char changed = static_cast<char>(file.get() ^ 1);
  file.seekp(-3, std::ios::end);
  file.put(changed);
  file.close();
  REQUIRE(file.good());
}

}  // namespace

TEST_CASE("start models: the one that is named is read, if it is the job's") {
  const TemporaryFolder models;
  Lines log;
  JobSpec job;
  job.model.family = ModelFamily::kTransformer;
  job.start = "small";
  const auto none = open_start(models.path(), job, log);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kNotFound);
  CHECK(none.error().message.find("there is none yet") != std::string::npos);

  std::filesystem::copy(vector_of("hf_llama"), models / "small", std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(models / "broken");
  const auto other = open_start(models.path(), job, log);
  REQUIRE_FALSE(other);
  CHECK(other.error().message.find("model.start = \"small\": model.") == 0);
  job.start = "absent";
  CHECK(open_start(models.path(), job, log).error().message.find("there are broken small") != std::string::npos);
  job.start = "broken";
  CHECK(open_start(models.path(), job, log).error().message.find("config.json") != std::string::npos);

  job.start = "small";
  const auto folder = HfFolder::open(models / "small");
  REQUIRE(folder.has_value());
  job.model = model_spec_of(folder->config(), 0).value();
  job.model.lora = {2, 4, 0, {"*q_proj"}};
  const auto reader = open_start(models.path(), job, log);
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
  REQUIRE(log.entries.size() == 1);  // nothing vouches for its bytes
  CHECK(log.entries[0].event == "start_unverified");
}

TEST_CASE("start models: with its sums, a model is used only while every byte is what was imported") {
  const TemporaryFolder models;
  const std::string small = models / "small";
  std::filesystem::copy(vector_of("hf_llama"), small, std::filesystem::copy_options::recursive);
  JobSpec job;
  job.start = "small";
  job.model = model_spec_of(HfFolder::open(small).value().config(), 0).value();
  CHECK(check_start_sums(small).value() == StartSums::kNone);
  REQUIRE(write_start_sums(small));
  CHECK(check_start_sums(small).value() == StartSums::kMatch);
  Lines log;
  CHECK(open_start(models.path(), job, log).has_value());
  CHECK(log.entries.empty());

  const auto refused = [&](const std::string& words) {
    const auto opened = open_start(models.path(), job, log);
    REQUIRE_FALSE(opened);
    INFO(opened.error().message);
    CHECK(opened.error().code == ErrorCode::kCorrupted);
    CHECK(opened.error().message.find("model.start = \"small\"") == 0);
    CHECK(opened.error().message.find(words) != std::string::npos);
    CHECK(opened.error().message.find("covey models --remove small") != std::string::npos);
  };
  const std::string weights = small + "/model-00002-of-00007.safetensors", sums = small + "/" + kStartSumsFile;
  flip_bit(weights);  // a weight stays a number
  CHECK(HfFolder::open(small).has_value());
  refused("model-00002-of-00007.safetensors has other bytes");
  flip_bit(weights);
  CHECK(open_start(models.path(), job, log).has_value());

  std::filesystem::rename(small + "/config.json", small + "/kept.json");
  refused("config.json is missing");
  std::filesystem::rename(small + "/kept.json", small + "/config.json");
  std::filesystem::copy(weights, small + "/model.safetensors");  // which would be read before all others
  refused("model.safetensors is not among");
  std::filesystem::remove(small + "/model.safetensors");

  std::filesystem::copy(sums, models / "sums");
  flip_bit(sums);
  refused("");
  std::filesystem::resize_file(sums, 0);
  refused("does not name config.json");
  std::filesystem::copy(models / "sums", sums, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::resize_file(sums, std::filesystem::file_size(sums) - 1);
  refused("is no sum of a file");
  models.write("small/" + std::string(kStartSumsFile), std::string(64, 'a') + "  ../../curve.key\n");
  refused("line 1 of SHA256SUMS is no sum of a file");
}

}  // namespace covey
