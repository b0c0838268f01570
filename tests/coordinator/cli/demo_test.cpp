#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "coordinator/cli/demo_corpora.h"
#include "coordinator/cli/demo_federation.h"
#include "coordinator/cli/demo_folder.h"
#include "coordinator/cli/demo_summary.h"
#include "coordinator/cli/demo_training.h"
#include "core/store/blobs.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;
using namespace covey::cli;

namespace {

DemoResult sample() {
  return {.clients = {"a", "b"},
          .initial = {8, 8},
          .alone = {{1, 5}, {7, 3}},
          .federated = {2, 3},
          .rounds = 16,
          .sums = 17,
          .least = 4,
          .most = 5,
          .seconds = 250};
}

// Text without repetition, so that none is dropped.
void write_words(const std::string& path, std::uint64_t seed, std::size_t bytes) {
  Random random(seed);
  std::ofstream file(path);
  for (std::size_t written = 0; written < bytes;) {
    std::string line;
    for (int word = 0; word < 9; ++word) {
      for (int letter = 0; letter < 5; ++letter) line += static_cast<char>('a' + random.below(26));
      line += word == 8 ? '\n' : ' ';
    }
    file << line;
    written += line.size();
  }
}

}  // namespace

TEST_CASE("demo: the summary has exactly its ten keys and means over texts and models") {
  const auto json = nlohmann::ordered_json::parse(summary_json(sample()).text());
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"initial", "alone", "federated", "alone_own", "federated_own",
                                         "rounds", "clients", "seconds", "secure_aggregation", "epsilon"});
  CHECK(json["initial"] == 8);
  CHECK(json["alone"] == 4);
  CHECK(json["alone_own"] == 2);
  CHECK(json["federated"] == 2.5);
  CHECK(json["federated_own"] == 2.5);
  CHECK(json["secure_aggregation"] == true);
  CHECK(json["epsilon"].is_null());
}

TEST_CASE("demo: the verdict says which is better, also when it is not the federated model") {
  const auto lines = verdict(sample());
  CHECK(lines[0].find("37.5 % better") != std::string::npos);
  CHECK(lines[1].find("25.0 % worse") != std::string::npos);
  CHECK(result_table(sample()).lines().size() == 1 + 1 + 2 + 1);
}

TEST_CASE("demo: its job aggregates securely, and its summary says what the coordinator learned and what not") {
  CHECK(demo_job(4).privacy.secure_aggregation);
  CHECK(demo_job(4, 100).round.deadline >= std::chrono::seconds(400));
  CHECK(demo_job(4, 4000).validate().has_value());
  const auto lines = protection(sample());
  CHECK(lines[0].find("17 sums, each of 4 to 5 clients' masked updates") != std::string::npos);
  CHECK(lines[1].find("did not learn any client's update") != std::string::npos);
  CHECK(lines[2].find("not against whoever runs this machine") != std::string::npos);
}

TEST_CASE("demo: a ledger record is a release only once it was made use of") {
  VerifiedLog log;
  log.audit.resize(5);
  log.ledger.resize(3);
  log.released = {1, 2, 3};
  CHECK(text_of_records(log) == "5 acts, 3 releases");
  log.released = {2, 3};
  CHECK(text_of_records(log) == "5 acts, 2 releases, and 1 frozen and never opened");
}

TEST_CASE("demo: it empties only a folder that it made") {
  const TemporaryFolder folder;
  const std::string ours = folder / "demo";
  REQUIRE(fresh_demo_folder(ours));
  std::ofstream(ours + "/old.log") << "x";
  REQUIRE(fresh_demo_folder(ours));
  CHECK_FALSE(std::filesystem::exists(ours + "/old.log"));

  const std::string foreign = folder / "photos";
  std::filesystem::create_directory(foreign);
  std::ofstream(foreign + "/one.jpg") << "x";
  const auto refused = fresh_demo_folder(foreign);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kAlreadyExists);
  CHECK(std::filesystem::exists(foreign + "/one.jpg"));
}

TEST_CASE("demo: folders become names that differ and that a node may have") {
  CHECK(client_names({"mail", "archive/mail/", "my notes", "..", "/"}) ==
        std::vector<std::string>{"mail", "mail-2", "my-notes", "client", "client-2"});
}

TEST_CASE("demo: every client gets the same amount of the user's text, or is told why not") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "c", "d"}) std::filesystem::create_directory(folder / name);
  write_words(folder / "a/text", 1, 60'000);
  write_words(folder / "b/text", 2, 30'000);
  write_words(folder / "c/text", 3, 60'000);
  write_words(folder / "d/text", 4, 60'000);
  Console console(true);
  const auto clients = prepare_corpora({{folder / "a", folder / "b", folder / "c", folder / "d"}, folder / "out"}, console);
  REQUIRE_MESSAGE(clients, clients.error().message);
  REQUIRE(clients->size() == 4);
  for (const DemoClient& client : *clients) {
    CHECK(client.bytes > 29'000);
    CHECK(client.bytes < 31'000);
  }
  const auto few = prepare_corpora({{folder / "a", folder / "b", folder / "c"}, folder / "out2"}, console);
  REQUIRE_FALSE(few);
  CHECK(few.error().message.find("3 clients; at least 4 are needed") != std::string::npos);
  CHECK_FALSE(prepare_corpora({{folder / "a", folder / "b", folder / "c", folder / "missing"}, folder / "out3"}, console));
}

TEST_CASE("demo: steps share the cores, and the held-out split is the same every time") {
  CHECK(steps_per_round(100, 0.1, 5, 5, 10) == 95);
  CHECK(steps_per_round(100, 0.1, 4, 2, 10) == 47);
  CHECK(steps_per_round(0.1, 10, 5, 1, 16) == 2);
  const TemporaryFolder folder;
  write_words(folder / "text", 3, 60'000);
  const auto once = load_clients(demo_job(2), {{"x", folder.path(), 0}});
  const auto again = load_clients(demo_job(7), {{"x", folder.path(), 0}});
  REQUIRE(once);
  REQUIRE(again);
  CHECK(once->front().split.holdout == again->front().split.holdout);
  CHECK_FALSE(once->front().split.holdout.empty());
}

TEST_CASE("demo: a model trained alone is better on its own text than the one it started from") {
  const TemporaryFolder folder;
  std::ofstream(folder / "text") << [] {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "one two three four five six seven\n";
    return text;
  }();
  JobSpec job = demo_job(4);
  job.rounds = 3;
  job.model.layers = 1;
  job.model.width = 32;
  job.model.context = 32;
  const auto data = load_clients(job, {{"x", folder.path(), 0}});
  REQUIRE(data);
  MemoryBlobs blobs;
  const auto start = initial_model(job, blobs);
  REQUIRE(start);
  const auto trained = train_alone({job, *start, {}, nullptr}, data->front(), blobs);
  REQUIRE_MESSAGE(trained, trained.error().message);
  const auto before = evaluate_on(job, *start, data->front(), blobs);
  const auto after = evaluate_on(job, *trained, data->front(), blobs);
  REQUIRE(before);
  REQUIRE(after);
  CHECK(after->targets == before->targets);
  CHECK(after->loss_sum < 0.9 * before->loss_sum);
}

TEST_CASE("demo: two free ports differ") {
  const auto ports = two_free_ports();
  REQUIRE(ports);
  CHECK(ports->first != ports->second);
}
