// Memberships of real nodes: how long they last, their end, renewals that outlive restarts.
#include <doctest/doctest.h>

#include <csignal>
#include <sstream>

#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/service/identity.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

nlohmann::json node_of(Federation& federation, const std::string& name) {
  const Process& nodes = federation.covey({"nodes", "--json"});
  INFO(nodes.errors());
  REQUIRE(nodes.code() == 0);
  std::istringstream in(nodes.out());
  for (std::string line; std::getline(in, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.at("name") == name) return row;
  }
  return {};
}

std::string day_after(Duration days) { return iso8601(SystemClock().now() + days).substr(0, 10); }

void check_refused(const Process& process, int code, const char* words) {
  INFO(process.out() << process.errors());
  CHECK(process.code() == code);
  CHECK(process.says(words));
}

void stop(Federation& federation) {
  federation.coordinator().signal(SIGTERM);
  REQUIRE(federation.until([&] { return federation.coordinator().ended(); }));
}

// A token whose memberships end sooner than `covey token` allows, made with the authority's key.
std::string brief_token(const std::string& home, Duration lasts) {
  const auto authority = load_authority(home);
  const auto membership = load_membership(operator_folder(home));
  REQUIRE(authority.has_value());
  REQUIRE(membership->has_value());
  SystemRandom random;
  JoinToken token{(*membership)->coordinator, {}, SigningKey::generate(random), CurveKey::generate(random)};
  random.fill(token.delegation.token.bytes);
  token.delegation.expires = token.delegation.members_until = SystemClock().now() + lasts;
  token.delegation.one_time_curve = token.one_time_curve.public_key();
  token.delegation.one_time_signing = token.one_time_signing.public_key();
  sign(token.delegation, *authority);
  Desk desk(home);
  REQUIRE(desk.ask(RegisterToken{token.delegation}).has_value());
  return to_text(token);
}

}  // namespace

TEST_CASE("membership: renewals are told, kept by both sides over restarts, and audited") {
  Federation federation(1);
  federation.start_all();
  CHECK(node_of(federation, "site0").at("members_until").get<std::string>().starts_with(day_after(24h * 365)));
  CHECK(node_of(federation, "operator").at("members_until").get<std::string>().starts_with(day_after(kMembershipMax)));
  CHECK(federation.covey({"doctor"}).says("none ends within 30 days"));

  const Process& renewed = federation.covey({"renew", "site0", "--for", "700d"});
  INFO(renewed.errors());
  REQUIRE(renewed.code() == 0);
  CHECK(federation.until([&] { return federation.client(0).has("membership_renewed"); }));
  const auto before = node_of(federation, "site0");
  CHECK(before.at("members_until").get<std::string>().starts_with(day_after(24h * 700)));
  CHECK(before.at("renewal").get<std::uint64_t>() > 0);
  check_refused(federation.covey({"renew", "site0", "--for", "2h"}), 2, "before its present end");
  check_refused(federation.covey({"renew", "nobody"}), 2, "no node is called");
  check_refused(federation.covey({"renew"}), 2, "--all");
  check_refused(federation.covey({"renew", "site0", "--for", "59m"}), 2, "--for");
  check_refused(federation.covey({"token", "--valid", "59m"}), 2, "--valid");
  check_refused(federation.covey({"token", "--valid", "3654d"}), 2, "--valid");
  const Process& all = federation.covey({"renew", "--all", "--for", "800d", "--json"});
  CHECK(all.code() == 0);
  CHECK(all.says("\"kept\""));  // the operator
  CHECK(all.says("\"renewed\""));

  const std::size_t told = 2;
  REQUIRE(federation.until([&] { return federation.client(0).count("membership_renewed") == told; }));
  stop(federation);
  CHECK(federation.covey({"renew", "--offline", "--for", "3653d"}).code() == 0);
  federation.start_coordinator();
  REQUIRE(federation.until([&] { return federation.client(0).count("client_joined") == 2; }));
  CHECK(federation.client(0).count("membership_renewed") == told);  // it has it
  CHECK(node_of(federation, "site0").at("members_until").get<std::string>().starts_with(day_after(24h * 800)));
  CHECK(node_of(federation, "operator").at("renewal").get<std::uint64_t>() > 0);
  federation.nursery().kill(federation.client(0));
  Process& again = federation.start_client(0);
  CHECK_FALSE(again.has("membership_renewed"));
  CHECK_FALSE(again.has("renewal_refused"));
  const Process& audit = federation.covey({"audit"});
  CHECK(audit.code() == 0);
  CHECK(audit.says("renewed"));
}

TEST_CASE("membership: a node whose day has come is let go of, and comes back with its old keys once renewed") {
  Federation federation(1);
  federation.start_coordinator();
  Launch launch = federation.client_launch(0);
  launch.arguments.insert(launch.arguments.end(), {"--token", brief_token(federation.home(), 20s), "--name", "site0"});
  Process& client = federation.start_client(0, launch);
  CHECK(client.has("membership_ends_soon"));
  const Process& nodes = federation.covey({"nodes"});
  CHECK(nodes.says("covey renew site0"));
  CHECK(federation.covey({"doctor"}).says("1 end within 30 days: site0"));

  REQUIRE(federation.until([&] { return client.ended(); }, 60));
  CHECK(client.code() == 5);
  CHECK(client.says("covey renew site0"));
  CHECK(federation.coordinator().has("membership_ended"));
  CHECK(node_of(federation, "site0").at("state") == "ended");
  Process& refused = federation.nursery().start(federation.client_launch(0));
  REQUIRE(federation.until([&] { return refused.says("membership is over"); }));
  CHECK_FALSE(refused.has("client_joined"));
  federation.nursery().kill(refused);

  REQUIRE(federation.covey({"renew", "site0"}).code() == 0);
  Process& back = federation.start_client(0);
  CHECK(federation.until([&] { return back.has("membership_renewed"); }));
  stop(federation);
  federation.start_coordinator();
  CHECK(federation.until([&] { return back.count("client_joined") == 2; }));
}

TEST_CASE("membership: a node keeps the name it enrolled with") {
  Federation federation(1);
  federation.start_all();
  federation.nursery().kill(federation.client(0));
  Launch launch = federation.client_launch(0);
  launch.arguments.insert(launch.arguments.end(), {"--name", "bob"});
  check_refused(federation.nursery().run(launch), 2, "is the identity of \"site0\"");
  launch.arguments.back() = Federation::name_of(0);
  Process& again = federation.nursery().start(launch);
  CHECK(federation.until([&] { return again.has("client_joined"); }));
}

TEST_CASE("membership: a token is used by the program of its role, and by no other") {
  Federation federation(1);
  federation.start_coordinator();
  check_refused(federation.covey({"token", "--role", "aggregator"}), 4, "no job selects an aggregator");
  const std::string token = federation.folder() + "/second.token", client = federation.folder() + "/site.token";
  REQUIRE(federation.covey({"token", "--role", "operator", "-o", token}).code() == 0);
  REQUIRE(federation.covey({"token", "-o", client}).code() == 0);

  // Refused before it is spent, and before a key is made.
  Launch launch = federation.client_launch(0);
  launch.arguments.insert(launch.arguments.end(), {"--token", "@" + token, "--name", "bob"});
  const Process& wrong = federation.nursery().run(launch);
  INFO(wrong.errors());
  CHECK(wrong.code() == 2);
  CHECK(wrong.says("covey token --role client"));
  CHECK_FALSE(std::filesystem::exists(federation.home_of(0) + "/signing.key"));
  const std::string second = federation.folder() + "/second";
  const auto enrol = [&](const std::string& home, const std::string& with) -> Process& {
    return federation.nursery().run({"covey", {"enrol", "--home", home, "--token", "@" + with, "--name", "bob", "--json"}});
  };
  check_refused(enrol(second, client), 2, "covey token --role operator");

  const Process& enrolled = enrol(second, token);
  INFO(enrolled.errors());
  REQUIRE(enrolled.code() == 0);
  CHECK(enrolled.says("\"role\":\"operator\""));
  CHECK(node_of(federation, "bob").at("role") == "operator");
  CHECK(federation.nursery().run({"covey", {"nodes", "--home", second}}).code() == 0);  // it gives orders
  check_refused(enrol(second, token), 2, "is the identity of bob already");
  check_refused(enrol(federation.folder() + "/third", token), 5, "");  // spent

  // An operator's folder is no client's, either.
  Launch folder = federation.client_launch(0);
  for (std::string& argument : folder.arguments)
    if (argument == federation.home_of(0)) argument = second + "/operator";
  check_refused(federation.nursery().run(folder), 2, "is for the role operator, not client");
}
