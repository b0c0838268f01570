// One federation from `covey init` to a model in a file, by the programs alone.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <cmath>
#include <sstream>

#include "core/data/safetensors.h"
#include "core/protocol/job_spec.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> values;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    auto value = nlohmann::json::parse(line, nullptr, false);
    INFO(line);
    REQUIRE(value.is_object());
    values.push_back(std::move(value));
  }
  return values;
}

void check_says(const Process& process, std::initializer_list<const char*> words) {
  for (const char* word : words) {
    INFO(process.name() << " should say: " << word << "\n" << process.out() << process.errors());
    CHECK(process.says(word));
  }
}

void check_pulled(const std::string& folder) {
  const std::string bytes = read_text(folder + "/model.safetensors");
  const auto file = from_safetensors(bytes_of(bytes));
  REQUIRE(file.has_value());
  const auto job = parse_job(read_text(folder + "/job.toml"));
  REQUIRE(job.has_value());
  CHECK(job->name == "tiny");
  const auto parameters = parameters_from(*file, parameter_table(job->model));
  REQUIRE(parameters.has_value());
  CHECK(parameters->size() == 2 * 2 + 2);  // two inputs, two classes
  double size = 0;
  for (const float value : *parameters) {
    CHECK(std::isfinite(value));
    size += std::abs(value);
  }
  CHECK(size > 0.1);  // it has learnt something
  CHECK(json_lines(read_text(folder + "/metrics.jsonl")).size() == 6 + 6 * 3);  // a row a round, and one a client
}

}  // namespace

TEST_CASE("journey: init, enrol, run to the end, and every command answers") {
  Federation federation(3);
  federation.start_all();
  struct stat token{};
  REQUIRE(::stat((federation.folder() + "/site0.token").c_str(), &token) == 0);
  CHECK((token.st_mode & 0777) == 0600);

  const Process& run = federation.covey({"run", "--json", federation.write_job({.rounds = 5})}, 40);
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  const auto lines = json_lines(run.out());
  CHECK(lines.front().at("event") == "submitted");
  CHECK(lines.back().at("event") == "end");
  CHECK(lines.back().at("state") == "finished");
  CHECK(lines.back().at("round") == 5);

  const auto jobs = json_lines(federation.covey({"list", "--json"}).out());
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].at("state") == "finished");
  check_says(federation.covey({"list"}), {"tiny", "finished", "5/5"});
  const Process& watch = federation.covey({"watch"});
  CHECK(watch.code() == 0);
  check_says(watch, {"1/5", "5/5", "final", "finished, 5 of 5 rounds"});
  check_says(federation.covey({"log"}), {"site0 enrolled", "site2 enrolled", "token", "finished"});
  check_says(federation.covey({"log", "1"}), {"job 1", "finished"});

  const auto nodes = json_lines(federation.covey({"nodes", "--json"}).out());
  CHECK(nodes.size() == 4);
  CHECK(std::count_if(nodes.begin(), nodes.end(), [](const auto& node) { return node.at("state") == "connected"; }) == 3);

  const std::string model = federation.folder() + "/model";
  const Process& pull = federation.covey({"pull", "1", "-o", model});
  INFO(pull.errors());
  REQUIRE(pull.code() == 0);
  check_pulled(model);
  const Process& as_text = federation.nursery().run({"covey", {"evaluate", "--model", model, "--data", federation.data_of(0), "--format", "text"}});
  CHECK(as_text.code() == 2);
  check_says(as_text, {"--format text: the model is a \"logistic\"", "leave --format out for csv"});
  const Process& as_folder = federation.nursery().run({"covey", {"export", "--model", model, "-o", model + ".hf"}});
  CHECK(as_folder.code() == 4);
  check_says(as_folder, {"`--to safetensors` writes any model"});
  CHECK_FALSE(as_folder.says("tokenizer"));

  const std::string report = federation.folder() + "/report.html";
  CHECK(federation.covey({"report", "1", "-o", report}).code() == 0);
  const std::string html = read_text(report);
  CHECK(html.find("<svg") != std::string::npos);
  CHECK(html.find("tiny") != std::string::npos);
  CHECK(html.find("http://") == html.find("http://www.w3.org"));  // nothing is loaded from elsewhere

  const Process& doctor = federation.covey({"doctor"});
  check_says(doctor, {"coordinator"});

  const Process& missing = federation.covey({"watch", "7"});
  CHECK(missing.code() == 2);
  check_says(missing, {"there is no job 7", "the latest is 1"});
}

TEST_CASE("journey: every program explains itself") {
  Nursery nursery;
  struct Program {
    const char* name;
    std::vector<const char*> words;
  };
  const Program programs[] = {
      {"covey-coordinator", {"--home", "--listen", "--control-port", "--bulk-port", "--threads", "--jobs", "--json", "--verbose", "--config"}},
      {"covey-client", {"--home", "--token", "--name", "--data", "--tokenizer", "--threads", "--memory", "--hours", "--job", "--plain-updates", "--members-min", "--pinned-keys", "--json", "--verbose", "--config"}},
      {"covey", {"init", "token", "run", "list", "watch", "log", "stop", "pull", "report", "generate", "evaluate", "export", "import", "tokenize", "nodes", "revoke", "vouch", "audit", "doctor", "demo"}},
      {"covey-sim", {"run"}},
  };
  for (const Program& program : programs) {
    const Process& help = nursery.run({program.name, {"--help"}});
    CHECK(help.code() == 0);
    for (const char* word : program.words) check_says(help, {word});
    check_says(help, {"Exit codes", "--version"});
    const Process& version = nursery.run({program.name, {"--version"}});
    CHECK(version.code() == 0);
    check_says(version, {"0."});
    const Process& unknown = nursery.run({program.name, {"--no-such-flag"}});
    CHECK(unknown.code() == 2);
  }
  const std::pair<const char*, std::vector<const char*>> commands[] = {
      {"init", {"--home", "--host", "--control-port", "--bulk-port", "--operator"}},
      {"token", {"--role", "--expires", "--output"}},
      {"run", {"FILE", "--detach", "--no-vouch"}},
      {"watch", {"JOB"}},
      {"log", {"JOB", "--follow"}},
      {"pull", {"JOB", "--output"}},
      {"report", {"JOB", "--output"}},
      {"generate", {"--model", "--prompt", "--bytes", "--temperature", "--seed", "--adapter", "--tokenizer"}},
      {"evaluate", {"--model", "--data", "--format", "--separator", "--logits", "--adapter"}},
      {"export", {"--model", "--to", "--output", "--dtype"}},
      {"import", {"FOLDER", "--name"}},
      {"tokenize", {"INPUT", "--output", "--tokenizer", "--damaged-max"}},
      {"revoke", {"NODE"}},
      {"vouch", {"NODE", "--all", "--follow"}},
      {"audit", {"--job", "--file", "--key", "--since", "--save"}},
      {"demo", {"--data", "--seconds", "--dir"}},
  };
  for (const auto& [name, words] : commands) {
    const Process& help = nursery.run({"covey", {name, "--help"}});
    CHECK(help.code() == 0);
    for (const char* word : words) check_says(help, {word});
    check_says(help, {"--json", "Example", "Exit codes"});
  }
}
