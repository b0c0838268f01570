#include "sim/plan_file.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

std::string refusal(const std::string& text) {
  const auto read = scenario_from(text);
  return read ? std::string() : read.error().message;
}

}  // namespace

TEST_CASE("plan file: every random plan comes back as it went") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Scenario scenario;
    scenario.seed = seed * 1'000'003;
    scenario.clients = 10;
    scenario.rounds = 3;
    scenario.finding = "a \"finding\"\nof two lines";
    scenario.faults = random_faults(10, 60s, Random(seed).split("faults"));
    const std::string text = to_toml(scenario);
    const auto read = scenario_from(text);
    REQUIRE_MESSAGE(read.has_value(), (read ? text : read.error().message + "\n" + text));
    CHECK(*read == scenario);
  }
  const auto empty = scenario_from("");
  REQUIRE(empty.has_value());
  CHECK(*empty == Scenario{});
}

TEST_CASE("plan file: what it does not know or cannot mean is refused by name") {
  CHECK(refusal("seeds = 3").find("seeds: is not known") != std::string::npos);
  CHECK(refusal("[[crash]]\nnode = 1\nwhen = 3").find("crash.when") != std::string::npos);
  CHECK(refusal("[[crash]]\nnode = -1").find("crash.node") != std::string::npos);
  CHECK(refusal("[[crash]]\nnode = 1.5").find("crash.node") != std::string::npos);
  CHECK(refusal("crash = 3").find("[[crash]]") != std::string::npos);
  CHECK(refusal("[[crash]]\nat_s = \"soon\"").find("crash.at_s") != std::string::npos);
  CHECK(refusal("[[crash]]\nat_s = 1e300").find("crash.at_s") != std::string::npos);
  CHECK(refusal("[[crash]]\nat_s = nan").find("crash.at_s") != std::string::npos);
  CHECK(refusal("[[liar]]\nnode = 1\nlie = \"white\"").find("not_finite") != std::string::npos);
  CHECK(refusal("[[act]]\nact = \"resign\"").find("revoke") != std::string::npos);
  CHECK(refusal("[[partition]]\ncut = 3").find("partition.cut") != std::string::npos);
  CHECK(refusal("[[disk_full]]\nrows = 1").find("disk_full.rows") != std::string::npos);
  CHECK(refusal("clients = 4294967296").find("clients") != std::string::npos);
  CHECK(refusal("= 3").find("line 1") != std::string::npos);
  CHECK(refusal(std::string(kPlanBytesMax + 1, '#')).find("at most") != std::string::npos);
}

TEST_CASE("plan file: any prefix and any changed byte of a plan are read or refused with words") {
  Scenario scenario;
  for (std::uint64_t seed = 1; scenario.faults.liars.empty() || scenario.faults.full_disks.empty(); ++seed)
    scenario.faults = random_faults(10, 60s, Random(seed).split("faults"));
  const std::string text = to_toml(scenario);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto cut = scenario_from(text.substr(0, i));
    CHECK((cut.has_value() || !cut.error().message.empty()));
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 0x15);
    const auto other = scenario_from(changed);
    CHECK((other.has_value() || !other.error().message.empty()));
  }
}

TEST_CASE("fault plan: what fits no world is refused") {
  const auto refused = [](auto change) {
    FaultPlan plan;
    change(plan);
    const auto fits = validate(plan, 10);
    return fits ? std::string() : fits.error().message;
  };
  CHECK(refused([](FaultPlan&) {}).empty());
  CHECK(refused([](FaultPlan& p) { p.crashes.push_back({11, 1s, 1s}); }).find("node 11") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.partitions.push_back({1s, 2s, {1, 12}}); }).find("node 12") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.acts.push_back({Act::kRevoke, 1s, 11}); }).find("node 11") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.acts.push_back({Act::kStop, 1s, 0}); }).find("stop") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.liars.push_back({0, Lie::kFlood}); }).find("coordinator") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.crashes.push_back({1, -1s, 1s}); }).find("year") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.slow_peers.push_back({1, 0, 1}); }).find("bytes_per_second") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.late_frames.push_back({1, 1s, 2s, 1s, 1.5}); }).find("share") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.network.loss = 2; }).find("loss") != std::string::npos);
  CHECK(refused([](FaultPlan& p) { p.crashes.assign(10'001, {1, 1s, 1s}); }).find("at most") != std::string::npos);
}
