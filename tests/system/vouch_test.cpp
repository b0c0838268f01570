// Credentials for secure aggregation between real processes: signed where the authority's key is, kept
// over kill -9 of both sides.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "coordinator/service/home.h"
#include "core/service/identity.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

std::vector<nlohmann::json> lines_of(const Process& process) {
  INFO(process.errors());
  std::vector<nlohmann::json> rows;
  std::istringstream in(process.out());
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

nlohmann::json node_of(Federation& federation, const std::string& name) {
  for (const auto& row : lines_of(federation.covey({"nodes", "--json"})))
    if (row.at("name") == name) return row;
  FAIL("no such node");
  return {};
}

void check_refused(const Process& process, int code, const char* words) {
  INFO(process.out() << process.errors());
  CHECK(process.code() == code);
  CHECK(process.says(words));
}

void kill_and_wait(Federation& federation, Process& process) {
  process.signal(SIGKILL);
  REQUIRE(federation.until([&] { return process.ended(); }));
}

}  // namespace

TEST_CASE("vouch: listed, signed by name, told to the node, kept by both over kill -9, and audited") {
  Federation federation(2);
  federation.start_all();
  const auto listed = lines_of(federation.covey({"vouch", "--json"}));
  REQUIRE(listed.size() == 2);
  for (const auto& row : listed) CHECK(row.at("event") == "unvouched");
  CHECK(node_of(federation, "site0").at("credential_epoch") == 0);

  const auto done = lines_of(federation.covey({"vouch", "site0", "--json"}));
  REQUIRE(done.size() == 1);
  CHECK(done[0].at("event") == "vouched");
  CHECK(done[0].at("node") == "site0");
  const auto membership = load_membership(federation.home_of(0));
  REQUIRE(membership.has_value());
  CHECK(done[0].at("signing") == hex((*membership)->certificate.signing.span()));
  CHECK(done[0].at("subject") == hex(subject_of("site0").span()));
  CHECK(federation.until([&] { return federation.client(0).has("vouched_for"); }));
  CHECK_FALSE(federation.client(1).has("vouched_for"));
  CHECK(node_of(federation, "site0").at("credential_epoch") == kCredentialEpochFirst);
  CHECK(node_of(federation, "site1").at("credential_epoch") == 0);

  kill_and_wait(federation, federation.client(0));
  kill_and_wait(federation, federation.coordinator());
  federation.start_coordinator();
  CHECK(node_of(federation, "site0").at("credential_epoch") == kCredentialEpochFirst);
  federation.start_client(0);
  CHECK_FALSE(federation.client(0).has("credential_refused"));
  CHECK(federation.covey({"vouch", "site0"}).says("has its credential already"));
  check_refused(federation.covey({"vouch", "nobody"}), 2, "no node is called");
  check_refused(federation.covey({"vouch", "operator"}), 2, "only clients aggregate");
  check_refused(federation.covey({"vouch", "site1", "--all"}), 2, "not both");
  check_refused(federation.covey({"vouch", "--follow"}), 2, "--all");
  CHECK(federation.covey({"vouch", "--all"}).says("Vouched for site1"));
  CHECK(federation.covey({"vouch"}).says("Every client has a credential"));
  CHECK(federation.covey({"audit"}).says("vouched"));

  // Everyone anew, at once, and told to both.
  const auto anew = lines_of(federation.covey({"vouch", "--new-epoch", "--json"}));
  REQUIRE(anew.size() == 3);
  CHECK(anew[0].at("event") == "epoch");
  CHECK(anew[0].at("epoch") == 2);
  CHECK(anew[0].at("list") == 1);
  for (const int i : {1, 2}) CHECK(anew[static_cast<std::size_t>(i)].at("epoch") == 2);
  CHECK(node_of(federation, "site1").at("credential_epoch") == 2);
  CHECK(federation.until([&] { return federation.client(1).has("credentials_withdrawn"); }));
  check_refused(federation.covey({"vouch", "site0", "--new-epoch"}), 2, "give it alone");

  // The key is elsewhere: the coordinator refuses the node, and the members are told when the authority has signed.
  const std::string folder = authority_folder(federation.home());
  std::filesystem::rename(folder, folder + ".away");
  CHECK(federation.covey({"revoke", "site0"}).says("run `covey revoke site0` again"));
  std::filesystem::rename(folder + ".away", folder);
  CHECK(federation.covey({"revoke", "site0"}).says("withdrew its credential (list 2)"));
  CHECK(federation.covey({"revoke", "site0"}).says("withdrew its credential already"));
  CHECK(federation.covey({"audit"}).says("withdrawn"));
  check_refused(federation.covey({"vouch", "site0"}), 2, "revoked");
  CHECK(node_of(federation, "site0").at("credential_epoch") == 0);
}

TEST_CASE("vouch: needs the authority's own key; without it nothing is signed") {
  Federation federation(1);
  federation.start_all();
  const std::string folder = authority_folder(federation.home());
  std::filesystem::rename(folder, folder + ".away");
  check_refused(federation.covey({"vouch", "--all"}), 2, "authority");
  std::filesystem::create_directory(folder);
  Federation other(1);
  std::filesystem::copy(authority_folder(other.home()), folder, std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  check_refused(federation.covey({"vouch", "--all"}), 5, "another authority");
  CHECK(node_of(federation, "site0").at("credential_epoch") == 0);
}

// Whether the job itself is taken is the coordinator's affair.
TEST_CASE("vouch: a job with secure aggregation is preceded by it where the key is at hand, and else says the command") {
  Federation federation(1);
  federation.start_all();
  JobText text;
  text.min_clients = 4;
  text.more = "[privacy]\nsecure_aggregation = true\n";
  const std::string job = federation.write_job(text);
  const auto run = [&](std::vector<std::string> more) -> Process& {
    std::vector<std::string> words{"run", job, "--detach"};
    words.insert(words.end(), more.begin(), more.end());
    return federation.covey(words);
  };
  CHECK_FALSE(run({"--no-vouch"}).says("vouch"));
  const std::string folder = authority_folder(federation.home());
  std::filesystem::rename(folder, folder + ".away");
  const Process& elsewhere = run({});
  CHECK(elsewhere.says("1 clients have no credential"));
  CHECK(elsewhere.says("covey vouch --all"));
  CHECK(node_of(federation, "site0").at("credential_epoch") == 0);
  std::filesystem::rename(folder + ".away", folder);
  CHECK(run({}).says("Vouched for site0, signing key"));
  CHECK(node_of(federation, "site0").at("credential_epoch") == kCredentialEpochFirst);
  CHECK_FALSE(run({}).says("Vouched"));
}

TEST_CASE("vouch: four sites that nobody vouched for train in a job with secure aggregation, by one command") {
  Federation federation(4);
  federation.start_all();
  JobText text;
  text.rounds = 2;
  text.min_clients = 4;
  text.more = "[privacy]\nsecure_aggregation = true\n";
  const Process& run = federation.covey({"run", federation.write_job(text)}, 60);
  INFO(run.out() << run.errors());
  CHECK(run.code() == 0);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(run.says("Vouched for " + Federation::name_of(i)));
    CHECK(federation.client(i).has("vouched_for"));
    CHECK_FALSE(federation.client(i).has("round_declined"));
  }
  CHECK(federation.coordinator().has("job_finished"));

  // The same file begins with the same model: said before it is submitted, and again by whoever declines for it.
  const std::string twin = federation.write_job(text);
  Process& again = federation.nursery().start({"covey", {"run", twin, "--home", federation.home(), "--json"}});
  REQUIRE(federation.until([&] { return again.says("\"event\":\"waiting\""); }, 60));
  CHECK(again.errors().find("began with the same model") != std::string::npos);
  CHECK(again.errors().find("Change `seed` in " + twin + " (now 1)") != std::string::npos);
  CHECK(again.out().find("change `seed` in the job file (now 1)") != std::string::npos);
  for (const auto& row : lines_of(federation.covey({"list", "--json"})))
    if (row.at("job") == 2) CHECK(row.at("text").get<std::string>().find("subtracted from the first") != std::string::npos);
  CHECK(federation.covey({"log", "tiny"}).says("declined (policy): change `seed`"));
  CHECK(federation.covey({"stop", "tiny"}).says("job 2 stopped"));
  REQUIRE(federation.until([&] { return again.ended(); }));
}

TEST_CASE("vouch: a job vouches for clients that are connected, and names the others") {
  Federation federation(2);
  federation.start_all();
  kill_and_wait(federation, federation.client(1));
  REQUIRE(federation.until([&] { return node_of(federation, "site1").at("state") == "away"; }, 40));
  JobText text;
  text.min_clients = 4;
  text.more = "[privacy]\nsecure_aggregation = true\n";
  const Process& run = federation.covey({"run", federation.write_job(text), "--detach"});
  CHECK(run.says("Vouched for site0"));
  CHECK_FALSE(run.says("Vouched for site1"));
  CHECK(run.says("not connected: site1"));
  CHECK(node_of(federation, "site1").at("credential_epoch") == 0);
}

TEST_CASE("vouch: --follow vouches for whoever enrols, over a restart of the coordinator, until it is stopped") {
  Federation federation(3);
  federation.start_coordinator();
  federation.enrol_client(0);
  Process& follower = federation.nursery().start({"covey", {"vouch", "--all", "--follow", "--json", "--home", federation.home()}});
  CHECK(federation.until([&] { return federation.client(0).has("vouched_for"); }));
  federation.enrol_client(1);
  CHECK(federation.until([&] { return federation.client(1).has("vouched_for"); }));
  kill_and_wait(federation, federation.coordinator());
  federation.start_coordinator();
  federation.enrol_client(2);
  CHECK(federation.until([&] { return federation.client(2).has("vouched_for"); }, 60));
  follower.signal(SIGINT);
  REQUIRE(federation.until([&] { return follower.ended(); }));
  CHECK(follower.code() == 0);
}

TEST_CASE("site policy: a client declines a plain job unless client.toml allows plain updates") {
  Federation federation(2);
  federation.start_coordinator();
  const auto launch = [&](std::size_t client, const std::string& setting) {
    const std::string file = federation.folder() + "/client" + std::to_string(client) + ".toml";
    write_text(file, setting);
    return Launch{"covey-client", {"--home", federation.home_of(client), "--data", federation.data_of(client), "--threads", "1",
                                   "--json", "--config", file}};
  };
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string token = federation.folder() + "/" + Federation::name_of(i) + ".token";
    REQUIRE(federation.covey({"token", "-o", token}).code() == 0);
    Launch first = launch(i, i == 0 ? "plain_updates = true\n" : "");
    first.arguments.insert(first.arguments.end(), {"--token", "@" + token, "--name", Federation::name_of(i)});
    federation.start_client(i, first);
  }
  JobText text;
  text.rounds = 1;
  text.min_clients = 1;
  const JobId job = federation.submit(text);
  CHECK(federation.await_end(job) == "job_finished");
  CHECK(federation.until([&] { return federation.client(1).has("round_declined"); }));
  REQUIRE(federation.client(1).has("round_declined"));
  CHECK(federation.client(1).last("round_declined")->text("text").find("plain-updates = true") != std::string::npos);
  CHECK_FALSE(federation.client(0).has("round_declined"));
}
