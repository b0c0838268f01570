// covey-crash: kills the real coordinator or the real client at named points, as often as asked, and
// judges what is left. Its figures end its output, a line each: "figure NAME VALUE".
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#include "tests/crash/campaign.h"

namespace covey::crash {
namespace {

struct Options {
  std::uint64_t seeds = 200;
  std::uint64_t first = 1;
  std::string victim = "both";
  std::string mutant = "none";
  std::vector<std::string> kills;      // NAME:NTH
  std::vector<std::string> points;
  std::uint32_t replays = 100;
  std::size_t workers = 2 * std::max(1U, std::thread::hardware_concurrency());
  std::string folder;
};

constexpr std::uint32_t kClients = 4;
constexpr std::size_t kPointsMin = 25;
constexpr int kExitUsage = 2;

void figure(const std::string& name, double value) { std::printf("figure %s %.6g\n", name.c_str(), value); }

int tell_failures(const Summary& summary, const std::string& what) {
  for (const Failure& failure : summary.failures) {
    std::printf("FAILED %s\n", flags_of(failure.plan).c_str());
    for (const std::string& finding : failure.findings) std::printf("  %s\n", finding.c_str());
  }
  std::printf("%s: %llu runs, %llu kills, %llu failed, %llu sums made again, %llu models unseen, %.1f s\n", what.c_str(),
              static_cast<unsigned long long>(summary.runs), static_cast<unsigned long long>(summary.kills),
              static_cast<unsigned long long>(summary.failed), static_cast<unsigned long long>(summary.tally.sums),
              static_cast<unsigned long long>(summary.tally.unverified), summary.seconds);
  return summary.failed == 0 ? 0 : 1;
}

std::vector<Victim> victims_of(const Options& options) {
  if (options.victim == "coordinator") return {Victim::kCoordinator};
  if (options.victim == "client") return {Victim::kClient};
  return {Victim::kCoordinator, Victim::kClient};
}

std::unique_ptr<Scene> scene_of(ModelSize size) {
  auto scene = make_scene(size, kClients);
  if (scene) return std::move(*scene);
  std::fprintf(stderr, "covey-crash: %s\n", scene.error().message.c_str());
  return nullptr;
}

// Every point of every victim, `seeds` runs each.
int kill_everywhere(const Options& options) {
  const auto scene = scene_of(ModelSize::kTiny);
  if (!scene) return kExitUsage;
  int code = 0;
  std::uint64_t runs = 0, failed = 0, kills_least = 0;
  double spent = 0;
  std::set<std::string> killed_at;
  Oracle::Tally tally;
  for (const Victim victim : victims_of(options)) {
    Campaign campaign(*scene, {options.workers, options.folder});
    const auto [points, found] = campaign.find_points(victim);
    if (found.failed > 0) code = tell_failures(found, "finding the points");
    std::vector<Plan> plans;
    for (std::uint64_t seed = options.first; seed < options.first + options.seeds; ++seed)
      for (const auto& [point, usual] : points)
        if (options.points.empty() || std::count(options.points.begin(), options.points.end(), point) > 0)
          plans.push_back(plan_of(victim, point, seed, points));
    const Summary summary = campaign.run(plans);
    std::printf("%-28s %10s %8s   %s\n", "point", "hits", "kills", name_of(victim));
    for (const auto& [point, count] : campaign.table().counts()) {
      std::printf("%-28s %10llu %8llu\n", point.c_str(), static_cast<unsigned long long>(count.hits), static_cast<unsigned long long>(count.kills));
      if (count.kills > 0) killed_at.insert(point);
      if (count.kills >= options.seeds) ++kills_least;
    }
    code = std::max(code, tell_failures(summary, name_of(victim)));
    runs += summary.runs;
    failed += summary.failed + found.failed;
    spent += summary.seconds;
    tally.acknowledged += summary.tally.acknowledged;
    tally.counted += summary.tally.counted;
    tally.ledger += summary.tally.ledger;
  }
  if (options.points.empty() && killed_at.size() < kPointsMin) {
    std::printf("only %zu points were hit, at least %zu are expected\n", killed_at.size(), kPointsMin);
    code = 1;
  }
  figure("runs", static_cast<double>(runs));
  figure("failed", static_cast<double>(failed));
  figure("points", static_cast<double>(killed_at.size()));
  figure("points_with_all_kills", static_cast<double>(kills_least));
  figure("acknowledged", static_cast<double>(tally.acknowledged));
  figure("counted", static_cast<double>(tally.counted));
  figure("ledger_records", static_cast<double>(tally.ledger));
  figure("seconds", spent);
  return code;
}

// Each mutant until it is caught; then the same plans without it.
int catch_mutants(const Options& options) {
  const auto scene = scene_of(ModelSize::kTiny);
  if (!scene) return kExitUsage;
  Campaign campaign(*scene, {options.workers, options.folder});
  const Points points = campaign.find_points(Victim::kCoordinator).points;
  std::size_t caught = 0, known = 0, longest = 0;
  int code = 0;
  const bool keeps_chains = campaign.run({Plan{}}).tally.audit > 0;
  for (const Mutant mutant : all_mutants()) {
    if (options.mutant != "none" && options.mutant != name_of(mutant)) continue;
    if (mutant == Mutant::kLedgerApart && !keeps_chains) {
      std::printf("%-24s left out: this coordinator keeps no ledger\n", name_of(mutant));
      continue;
    }
    ++known;
    auto plans = mixed_plans(Victim::kCoordinator, mutant, options.first, options.seeds, points);
    const Summary summary = campaign.run_until_failure(plans);
    if (!summary.first_failed) {
      std::printf("%-24s not caught in %llu runs\n", name_of(mutant), static_cast<unsigned long long>(summary.runs));
      code = 1;
      continue;
    }
    ++caught;
    const std::size_t after = *summary.first_failed + 1;
    longest = std::max(longest, after);
    std::printf("%-24s caught by run %zu: %s\n", name_of(mutant), after, summary.failures.front().findings.front().c_str());
    figure(std::string("seeds_") + name_of(mutant), static_cast<double>(after));
  }
  const Summary sound = campaign.run(mixed_plans(Victim::kCoordinator, Mutant::kNone, options.first, std::max<std::size_t>(longest, 1), points));
  code = std::max(code, tell_failures(sound, "without a mutant"));
  figure("caught", static_cast<double>(caught));
  figure("mutants", static_cast<double>(known));
  figure("seeds_longest", static_cast<double>(longest));
  figure("failed_without", static_cast<double>(sound.failed));
  return code;
}

// The client in each phase of a round, with an update of more chunks than the receiver's credits.
int kill_in_phases(const Options& options) {
  const auto scene = scene_of(ModelSize::kChunked);
  if (!scene) return kExitUsage;
  constexpr std::pair<const char*, std::uint64_t> kPhases[] = {
      {"driver.offer.received", 3}, {"driver.fetch.begun", 5}, {"driver.training.begun", 2},
      {"driver.update.saving", 2},  {"driver.chunk.served", 40}, {"driver.acceptance.received", 2}};
  Campaign campaign(*scene, {options.workers, options.folder});
  std::vector<Plan> plans;
  for (std::uint64_t seed = options.first; seed < options.first + options.seeds; ++seed)
    for (const auto& [point, most] : kPhases)
      plans.push_back({.seed = seed, .victim = Victim::kClient, .kills = {{point, 1 + Random(seed).split(point).below(most)}}});
  const Summary summary = campaign.run(plans);
  std::size_t phases = 0;
  for (const auto& [point, count] : campaign.table().counts())
    if (count.kills > 0) {
      ++phases;
      std::printf("%-28s %8llu kills\n", point.c_str(), static_cast<unsigned long long>(count.kills));
    }
  const int code = tell_failures(summary, "phases");
  figure("runs", static_cast<double>(summary.runs));
  figure("kills", static_cast<double>(summary.kills));
  figure("phases", static_cast<double>(phases));
  figure("failed", static_cast<double>(summary.failed));
  figure("chunks_again_max", static_cast<double>(summary.chunks_again_max));
  return code;
}

int replay_messages(const Options& options) {
  const auto scene = scene_of(ModelSize::kTiny);
  if (!scene) return kExitUsage;
  Campaign campaign(*scene, {options.workers, options.folder});
  std::vector<Plan> plans;
  for (std::uint64_t seed = options.first; seed < options.first + options.seeds; ++seed) plans.push_back({.seed = seed, .replays = options.replays});
  const Summary summary = campaign.run(plans);
  const int code = tell_failures(summary, "replays");
  figure("replayed", static_cast<double>(summary.replayed));
  figure("failed", static_cast<double>(summary.failed));
  figure("counted", static_cast<double>(summary.tally.counted));
  figure("seconds", summary.seconds);
  return code;
}

int change_updates(const Options& options) {
  const auto scene = scene_of(ModelSize::kTiny);
  if (!scene) return kExitUsage;
  Campaign campaign(*scene, {options.workers, options.folder});
  std::vector<Plan> plans;
  for (std::uint64_t seed = options.first; seed < options.first + options.seeds; ++seed)
    plans.push_back({.seed = seed, .manners = ScriptedClient::Manners::kChanging});
  const Summary summary = campaign.run(plans);
  const int code = tell_failures(summary, "changed updates");
  figure("changed", static_cast<double>(summary.tally.changed));
  figure("changed_refused", static_cast<double>(summary.tally.changed_refused));
  figure("conflicts_audited", static_cast<double>(summary.tally.conflicts));
  figure("failed", static_cast<double>(summary.failed));
  figure("seconds", summary.seconds);
  return code;
}

int play_one(const Options& options) {
  const auto scene = scene_of(ModelSize::kTiny);
  const auto mutant = mutant_from(options.mutant);
  if (!mutant) std::fprintf(stderr, "covey-crash: %s\n", mutant.error().message.c_str());
  if (!scene || !mutant) return kExitUsage;
  Plan plan{.seed = options.first, .victim = victims_of(options).front(), .mutant = *mutant};
  for (const std::string& kill : options.kills) {
    const std::size_t colon = kill.rfind(':');
    plan.kills.push_back({kill.substr(0, colon), colon == std::string::npos ? 1 : std::strtoull(kill.c_str() + colon + 1, nullptr, 10)});
  }
  Campaign campaign(*scene, {1, options.folder});
  const Summary summary = campaign.run(std::vector<Plan>(options.seeds, plan));
  return tell_failures(summary, "the run, " + std::to_string(options.seeds) + " times");
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"Kills the real coordinator or client at named points and judges what is left."};
  app.require_subcommand(1);
  app.add_option("--folder", options.folder, "Folder for the runs' files; emptied")->required();
  app.add_option("--workers", options.workers, "Runs at once")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--first", options.first, "The first seed")->capture_default_str();
  app.add_option("--seeds", options.seeds, "Seeds: of each point, mutant or phase")->capture_default_str()->check(CLI::Range(1, 1'000'000));
  app.fallthrough();
  int (*act)(const Options&) = nullptr;
  const auto command = [&](const char* name, const char* text, int (*what)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, text);
    sub->callback([&act, what] { act = what; });
    return sub;
  };
  CLI::App* kill = command("kill", "At every point that either victim passes", kill_everywhere);
  kill->add_option("--victim", options.victim, "coordinator, client or both")->capture_default_str()->check(CLI::IsMember({"coordinator", "client", "both"}));
  kill->add_option("--point", options.points, "Only these points");
  CLI::App* mutants = command("mutants", "Each deliberate defect until it is caught", catch_mutants);
  mutants->add_option("--mutant", options.mutant, "Only this one");
  command("phases", "The client in each phase of a round", kill_in_phases);
  CLI::App* replays = command("replays", "Every client message again: same connection, another, a later round", replay_messages);
  replays->add_option("--times", options.replays, "How often, each way")->capture_default_str()->check(CLI::Range(1, 10'000));
  command("changed", "Another update under the same key after each acknowledgement", change_updates);
  CLI::App* one = command("one", "One run again, --seeds times", play_one);
  one->add_option("--victim", options.victim, "coordinator or client")->check(CLI::IsMember({"coordinator", "client"}));
  one->add_option("--seed", options.first, "Its seed");
  one->add_option("--kill", options.kills, "NAME:NTH, of one life after the other; NAME may be *");
  one->add_option("--mutant", options.mutant, "With this defect");
  CLI11_PARSE(app, argc, argv);
  return act(options);
}

}  // namespace
}  // namespace covey::crash

int main(int argc, char** argv) { return covey::crash::run(argc, argv); }
