#include "core/protocol/exchanged.h"

#include <doctest/doctest.h>

#include "core/protocol/job_fit.h"

using namespace covey;

namespace {

// Llama's blocks; a tied head, so that the shard "head" is a norm alone.
JobSpec text_job(const std::string& more = "", const std::string& update = "") {
  const auto job = parse_job("[model]\nfamily = \"transformer\"\nlayers = 3\nwidth = 16\nheads = 2\ncontext = 8\n" +
                             std::string(more.starts_with("[model") ? more : "") + "[data]\nformat = \"text\"\n[train]\nlocal_steps = 1\n" +
                             std::string(more.starts_with("[model") ? "" : more) + "[update]\n" + update);
  REQUIRE_MESSAGE(job.has_value(), (job ? "" : job.error().message));
  return *job;
}

const ShardRange& shard_of(const ParameterTable& table, std::string_view name) {
  for (const ShardRange& shard : table.shards)
    if (shard.name == name) return shard;
  FAIL("no shard " << name);
  return table.shards.front();
}

bool mentions(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("exchanged: of a job without frozen parameters it is the whole flat buffer, and nothing is written of it") {
  const JobSpec job = text_job();
  const ParameterTable table = parameter_table(job.model);
  const Exchanged exchanged(job);
  CHECK(exchanged.ranges() == std::vector<ParameterRange>{{0, table.size}});
  CHECK(exchanged.size() == table.size);
  for (const ShardRange& shard : table.shards) CHECK(exchanged.place_of(shard) == shard.offset);
  CHECK_FALSE(mentions(to_toml(job), "exchange"));
  // Both words mean the same, so both make the same job.
  CHECK(text_job("", "exchange = \"all\"\n") == job);
  CHECK(text_job("", "exchange = \"trained\"\n") == job);
  CHECK(*parse_accepted_job(to_toml(job)) == job);
}

TEST_CASE("exchanged: of a job with adapters it is the adapters") {
  const JobSpec job = text_job("[model.lora]\nrank = 2\ntargets = [\"*q_proj\"]\n");
  const ParameterTable table = parameter_table(job.model);
  const Exchanged exchanged(job);
  const std::uint64_t adapters = 3 * 2 * (16 + 16);
  CHECK(exchanged.size() == adapters);
  CHECK(exchanged.ranges() == std::vector<ParameterRange>{{table.size - adapters, adapters}});
  CHECK_FALSE(exchanged.place_of(shard_of(table, "embedding")));
  CHECK_FALSE(exchanged.place_of(shard_of(table, "head")));
  CHECK(exchanged.place_of(shard_of(table, "adapters.0")) == 0);
  CHECK(exchanged.place_of(shard_of(table, "adapters.2")) == 2 * 2 * (16 + 16));
}

TEST_CASE("exchanged: frozen shards leave gaps, and what is behind them moves up") {
  const JobSpec job = text_job("frozen = [\"embedding\", \"layers.1\"]\n");
  const ParameterTable table = parameter_table(job.model);
  const ShardRange &first = shard_of(table, "layers.0"), &last = shard_of(table, "layers.2"), &head = shard_of(table, "head");
  const Exchanged exchanged(job);
  CHECK(exchanged.ranges() == std::vector<ParameterRange>{{first.offset, first.size}, {last.offset, last.size + head.size}});
  CHECK(exchanged.size() == first.size + last.size + head.size);
  CHECK_FALSE(exchanged.place_of(shard_of(table, "embedding")));
  CHECK_FALSE(exchanged.place_of(shard_of(table, "layers.1")));
  CHECK(exchanged.place_of(first) == 0);
  CHECK(exchanged.place_of(last) == first.size);
  CHECK(exchanged.place_of(head) == first.size + last.size);
}

TEST_CASE("exchanged: an update's bytes, masked or not, and its quota are of what is exchanged") {
  JobSpec job = text_job("[model.lora]\nrank = 2\ntargets = [\"*q_proj\"]\n");
  job.privacy.secure_aggregation = false;
  CHECK(update_bytes_of(job) == 192 * 4);
  job.privacy.secure_aggregation = true;
  CHECK(update_bytes_of(job) == (192 / 2 + kSecureFigures) * 8);  // two lanes of 32 bits a word
  job.update.exchange = Exchange::kAll;
  CHECK(update_bytes_of(job) == ((parameter_table(job.model).size + 1) / 2 + kSecureFigures) * 8);
}

TEST_CASE("exchanged: a text that does not say is of a version that knew all alone, and keeps its hash") {
  const JobSpec job = text_job("[model.lora]\nrank = 2\n");
  CHECK(job.update.exchange == Exchange::kTrained);
  const std::string says = public_toml(job);
  CHECK(mentions(says, "exchange = 'trained'\n"));
  CHECK(*parse_accepted_job(to_toml(job)) == job);

  std::string silent = says;
  silent.erase(silent.find("exchange"), std::string_view("exchange = 'trained'\n").size());
  const auto earlier = parse_accepted_job(silent);
  REQUIRE(earlier.has_value());
  CHECK(earlier->update.exchange == Exchange::kAll);
  CHECK(exchanged_size(*earlier) == parameter_table(job.model).size);
  CHECK(public_toml(*earlier) == silent);

  const JobSpec all = text_job("[model.lora]\nrank = 2\n", "exchange = \"all\"\n");
  CHECK(all == *earlier);
  CHECK(*parse_accepted_job(to_toml(all)) == all);
}

TEST_CASE("exchanged: another word is refused") {
  const auto job = parse_job("[model]\nfamily = \"mlp\"\n[data]\nformat = \"idx\"\n[update]\nexchange = \"some\"\n");
  REQUIRE_FALSE(job);
  CHECK(mentions(job.error().message, "update.exchange"));
  CHECK(mentions(job.error().message, "\"trained\" or \"all\""));
}
