// covey-crash: kills the real coordinator or the real client at named points, as often as asked, and
// judges what is left. Its figures end its output, a line each: "figure NAME VALUE".
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
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
  bool chunked = false;
  bool adapters = false;
  std::string jobs = "both";
  bool secure = false;                 // of `one`
};

constexpr std::uint32_t kClients = 4;
constexpr std::uint32_t kMembers = 6;  // of a job under secure aggregation
constexpr std::size_t kPointsMin = 25;
constexpr int kExitUsage = 2;

void figure(const std::string& name, double value) { std::printf("figure %s %.6g\n", name.c_str(), value); }

int tell_failures(const Summary& summary, const std::string& what) {
  for (const Failure& failure : summary.failures) {
    std::printf("FAILED %s\n", flags_of(failure.plan).c_str());
    for (const std::string& finding : failure.findings) std::printf("  %s\n", finding.c_str());
  }
  std::printf("%s: %llu runs, %llu kills, %llu failed, %llu sums made again, %llu models unseen, %llu stalemates, %.1f s\n", what.c_str(),
              static_cast<unsigned long long>(summary.runs), static_cast<unsigned long long>(summary.kills),
              static_cast<unsigned long long>(summary.failed), static_cast<unsigned long long>(summary.tally.sums),
              static_cast<unsigned long long>(summary.tally.unverified), static_cast<unsigned long long>(summary.stalemates), summary.seconds);
  return summary.failed == 0 ? 0 : 1;
}

std::vector<Victim> victims_of(const Options& options) {
  if (options.victim == "coordinator") return {Victim::kCoordinator};
  if (options.victim == "client") return {Victim::kClient};
  return {Victim::kCoordinator, Victim::kClient};
}

std::vector<JobKind> jobs_of(const Options& options) {
  if (options.jobs == "plain") return {JobKind::kPlain};
  if (options.jobs == "secure") return {JobKind::kSecure};
  return {JobKind::kPlain, JobKind::kSecure};
}

std::unique_ptr<Scene> scene_of(ModelSize size, JobKind kind = JobKind::kPlain) {
  auto scene = make_scene(size, kind, kind == JobKind::kSecure ? kMembers : kClients);
  if (scene) return std::move(*scene);
  std::fprintf(stderr, "covey-crash: %s\n", scene.error().message.c_str());
  return nullptr;
}

struct Everywhere {
  std::map<Victim, Points> points;
  std::set<std::string> names;
  Summary found;
};

Everywhere find_everywhere(Campaign& campaign, const Options& options) {
  Everywhere all;
  for (const Victim victim : victims_of(options)) {
    const Campaign::Found found = campaign.find_points(victim);
    all.points[victim] = found.points;
    all.found.failed += found.summary.failed;
    all.found.failures.insert(all.found.failures.end(), found.summary.failures.begin(), found.summary.failures.end());
    for (const auto& [name, usual] : found.points)
      if (options.points.empty() || std::count(options.points.begin(), options.points.end(), name) > 0) all.names.insert(name);
  }
  return all;
}

// Where both roles pass a point, they take turns in dying at it.
Plan plan_at(const Everywhere& all, const std::string& point, std::uint64_t seed) {
  std::vector<Victim> victims;
  for (const auto& [victim, points] : all.points)
    if (points.contains(point)) victims.push_back(victim);
  const Victim victim = victims[seed % victims.size()];
  return plan_of(victim, point, seed, all.points.at(victim));
}

// Of one kind of job: every point that its runs pass until each has killed `seeds` times.
struct Killed {
  Summary sum;
  std::set<std::string> passed;              // by either role
  std::map<std::string, FaultTable::Count> counts;
};

Killed kill_everywhere(const Scene& scene, const Options& options) {
  constexpr int kPassesMax = 4;
  Campaign campaign(scene, {options.workers, options.folder});
  const Everywhere all = find_everywhere(campaign, options);
  Killed killed{all.found, all.names, {}};
  std::uint64_t seed = options.first, least = 0;
  for (int pass = 0; pass < kPassesMax && least < options.seeds; ++pass) {
    // A seed may end before the hit it was to die at: the next pass makes up for it.
    const auto counts = campaign.table().counts();
    std::vector<Plan> plans;
    std::uint64_t most = 0;
    for (const std::string& point : all.names) {
      const auto count = counts.find(point);
      const std::uint64_t kills = count == counts.end() ? 0 : count->second.kills;
      const std::uint64_t lacking = options.seeds - std::min(options.seeds, kills);
      for (std::uint64_t i = 0; i < lacking; ++i) plans.push_back(plan_at(all, point, seed + i));
      most = std::max(most, lacking);
    }
    seed += most;
    // So that neither a slow role nor a slow point runs alone at the end.
    Random(options.first).split("order").shuffle(std::span(plans));
    add(killed.sum, campaign.run(plans));
    least = options.seeds;
    for (const std::string& point : all.names) least = std::min(least, campaign.table().counts()[point].kills);
  }
  killed.counts = campaign.table().counts();
  return killed;
}

int kill_all(const Options& options) {
  Summary sum;
  std::set<std::string> passed, killed_at;
  std::map<JobKind, std::size_t> points;
  int code = 0;
  for (const JobKind kind : jobs_of(options)) {
    const auto scene = scene_of(options.adapters ? ModelSize::kAdapters : ModelSize::kTiny, kind);
    if (!scene) return kExitUsage;
    const Killed killed = kill_everywhere(*scene, options);
    std::printf("%-28s %10s %8s\n", (std::string(name_of(kind)) + " jobs: point").c_str(), "hits", "kills");
    for (const auto& [point, count] : killed.counts) {
      std::printf("%-28s %10llu %8llu\n", point.c_str(), static_cast<unsigned long long>(count.hits), static_cast<unsigned long long>(count.kills));
      if (!killed.passed.contains(point) || count.kills < options.seeds) continue;
      ++points[kind];
      killed_at.insert(point);
    }
    code = std::max(code, tell_failures(killed.sum, std::string("kills in ") + name_of(kind) + " jobs"));
    const std::size_t least = options.points.empty() ? kPointsMin : killed.passed.size();
    if (points[kind] < least) {
      std::printf("only %zu points of %s jobs killed %llu times each; at least %zu are to\n", points[kind], name_of(kind),
                  static_cast<unsigned long long>(options.seeds), least);
      code = 1;
    }
    passed.insert(killed.passed.begin(), killed.passed.end());
    add(sum, killed.sum);
    figure(std::string("points_") + name_of(kind), static_cast<double>(points[kind]));
    figure(std::string("points_passed_") + name_of(kind), static_cast<double>(killed.passed.size()));
    figure(std::string("runs_") + name_of(kind), static_cast<double>(killed.sum.runs));
  }
  figure("runs", static_cast<double>(sum.runs));
  figure("kills", static_cast<double>(sum.kills));
  figure("failed", static_cast<double>(sum.failed));
  figure("points", static_cast<double>(killed_at.size()));
  figure("points_passed", static_cast<double>(passed.size()));
  figure("acknowledged", static_cast<double>(sum.tally.acknowledged));
  figure("counted", static_cast<double>(sum.tally.counted));
  figure("stalemates", static_cast<double>(sum.stalemates));
  figure("aborted", static_cast<double>(sum.tally.aborted));
  figure("consumed", static_cast<double>(sum.tally.consumed));
  figure("ledger_records", static_cast<double>(sum.tally.ledger));
  figure("runs_per_second", static_cast<double>(sum.runs) / sum.seconds);
  figure("seconds", sum.seconds);
  return code;
}

// Where a mutant is looked for: the runs in which its defect can show.
class Hunt {
 public:
  Hunt(const Options& options, JobKind kind, Victim victim) : scene_(scene_of(ModelSize::kTiny, kind)), victim_(victim) {
    if (!scene_) return;
    campaign_ = std::make_unique<Campaign>(*scene_, CampaignConfig{options.workers, options.folder});
    points_ = campaign_->find_points(victim).points;
  }
  bool ready() const { return campaign_ != nullptr; }
  Campaign& campaign() { return *campaign_; }
  std::vector<Plan> plans(Mutant mutant, const Options& options, std::size_t count) const {
    return mixed_plans(victim_, mutant, options.first, count, points_);
  }
  std::size_t longest = 0;  // runs that a mutant lived

 private:
  std::unique_ptr<Scene> scene_;
  Victim victim_;
  std::unique_ptr<Campaign> campaign_;
  Points points_;
};

// Each mutant until it is caught; then the same plans without it.
int catch_mutants(const Options& options) {
  std::map<std::pair<JobKind, Victim>, Hunt> hunts;
  std::size_t caught = 0, known = 0, longest = 0;
  int code = 0;
  for (const Mutant mutant : all_mutants()) {
    if (options.mutant != "none" && options.mutant != name_of(mutant)) continue;
    const JobKind kind = is_secure(mutant) ? JobKind::kSecure : JobKind::kPlain;
    const Victim victim = is_of_client(mutant) ? Victim::kClient : Victim::kCoordinator;
    Hunt& hunt = hunts.try_emplace({kind, victim}, options, kind, victim).first->second;
    if (!hunt.ready()) return kExitUsage;
    ++known;
    const Summary summary = hunt.campaign().run_until_failure(hunt.plans(mutant, options, options.seeds));
    if (!summary.first_failed) {
      std::printf("%-24s not caught in %llu runs\n", name_of(mutant), static_cast<unsigned long long>(summary.runs));
      code = 1;
      continue;
    }
    ++caught;
    const std::size_t after = *summary.first_failed + 1;
    hunt.longest = std::max(hunt.longest, after);
    std::printf("%-24s caught by run %zu: %s\n", name_of(mutant), after, summary.failures.front().findings.front().c_str());
    figure(std::string("seeds_") + name_of(mutant), static_cast<double>(after));
  }
  std::uint64_t failed_without = 0;
  for (auto& [where, hunt] : hunts) {
    const Summary sound = hunt.campaign().run(hunt.plans(Mutant::kNone, options, std::max<std::size_t>(hunt.longest, 1)));
    const std::string what = std::string("without a mutant, ") + name_of(where.first) + " jobs, " + name_of(where.second);
    code = std::max(code, tell_failures(sound, what));
    failed_without += sound.failed;
    longest = std::max(longest, hunt.longest);
  }
  figure("caught", static_cast<double>(caught));
  figure("mutants", static_cast<double>(known));
  figure("seeds_longest", static_cast<double>(longest));
  figure("failed_without", static_cast<double>(failed_without));
  return code;
}

// The client in each phase of a round, with an update of more chunks than the receiver's credits.
int kill_in_phases(const Options& options) {
  const auto scene = scene_of(ModelSize::kChunked);
  if (!scene) return kExitUsage;
  constexpr std::pair<const char*, std::uint64_t> kPhases[] = {
      {"driver.offer.received", 3}, {"driver.fetch.begun", 5}, {"driver.training.begun", 2},
      {"driver.update.saving", 2},  {"driver.chunk.served", 24}, {"driver.acceptance.received", 2}};
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
  const ModelSize size = options.chunked ? ModelSize::kChunked : options.adapters ? ModelSize::kAdapters : ModelSize::kTiny;
  const auto scene = scene_of(size, options.secure ? JobKind::kSecure : JobKind::kPlain);
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
  const int code = tell_failures(summary, "the run, " + std::to_string(options.seeds) + " times");
  figure("kills", static_cast<double>(summary.kills));
  figure("chunks_again_max", static_cast<double>(summary.chunks_again_max));
  return code;
}

// Training's threads would not be in a forked process. OpenMP reads this once, before main.
void compute_on_one_thread(char** argv) {
  const char* const set = std::getenv("OMP_NUM_THREADS");
  if (set != nullptr && std::string(set) == "1") return;
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::execv("/proc/self/exe", argv);
  std::perror("covey-crash: cannot start itself with OMP_NUM_THREADS=1");
  std::exit(kExitUsage);
}

int run(int argc, char** argv) {
  compute_on_one_thread(argv);
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
  CLI::App* kill = command("kill", "At every point that either victim passes, in plain jobs and under secure aggregation", kill_all);
  kill->add_option("--victim", options.victim, "coordinator, client or both")->capture_default_str()->check(CLI::IsMember({"coordinator", "client", "both"}));
  kill->add_option("--jobs", options.jobs, "plain, secure or both")->capture_default_str()->check(CLI::IsMember({"plain", "secure", "both"}));
  kill->add_option("--point", options.points, "Only these points");
  kill->add_flag("--adapters", options.adapters, "Jobs that train adapters alone");
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
  one->add_flag("--secure", options.secure, "A job under secure aggregation");
  one->add_flag("--chunked", options.chunked, "With updates of 13 chunks, as `phases`");
  one->add_flag("--adapters", options.adapters, "A job that trains adapters alone");
  one->add_option("--mutant", options.mutant, "With this defect");
  CLI11_PARSE(app, argc, argv);
  return act(options);
}

}  // namespace
}  // namespace covey::crash

int main(int argc, char** argv) { return covey::crash::run(argc, argv); }
