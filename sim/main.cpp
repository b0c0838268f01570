// covey-sim: the simulator. The production machines in virtual time, from one seed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "core/base/clock.h"
#include "core/base/thrown.h"
#include "core/data/hf/hf_model.h"
#include "core/data/safetensors.h"
#include "core/protocol/limits.h"
#include "core/service/exit_code.h"
#include "core/service/flag_number.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"
#include "sim/campaign.h"
#include "sim/report.h"
#include "sim/simulation.h"

namespace covey {
namespace {

struct Options {
  std::string job;
  std::string data;
  std::string start;       // folder of transformers
  std::string tokenizer;   // tokenizer.json or its folder
  std::uint32_t clients = 0;
  std::uint64_t seed = 1;
  std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  double loss = 0;
  double duplicate = 0;
  double delay_ms = 20;
  double jitter_ms = 30;
  double mbit_per_second = 100;
  std::vector<std::string> crashes;
  double horizon_days = 365;
  std::string output;
  std::string metrics;
  std::uint32_t seeds = 200;
  std::uint64_t first = 1;
  double fault_seconds = 60;
  double calm_minutes = 30;
  std::string faults;     // a plan to replay
  std::string plans = "."; // folder for plans of failing seeds
  std::uint32_t shrink = 1;
  std::string kinds;       // empty: mixed where the job has another kind
  bool json = false;
  bool verbose = false;
};

int report(const Error& error) {
  std::fprintf(stderr, "covey-sim: %s\n", error.message.c_str());
  return exit_code_of(error.code);
}

void print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// "0@12.5+3": the coordinator, 12.5 virtual seconds after the start, down for 3.
Result<Crash> crash_from(const std::string& text, std::size_t clients) {
  unsigned long node = 0;
  double when = 0;
  double down = 0;
  int used = 0;
  const bool read = std::sscanf(text.c_str(), "%lu@%lf+%lf%n", &node, &when, &down, &used) == 3 &&
                    static_cast<std::size_t>(used) == text.size();
  if (read && node <= clients && when >= 0 && when <= 1e9 && down > 0 && down <= 1e6)
    return Crash{node, from_seconds(when), from_seconds(down)};
  return unexpected(ErrorCode::kInvalidArgument, "--crash " + text + ": must be NODE@SECONDS+SECONDS_DOWN, as 0@12.5+3; node 0 is the coordinator, 1 to " +
                                                     std::to_string(clients) + " the clients");
}

Result<JobSpec> read_job(const Options& options) {
  COVEY_TRY(Bytes text, read_file(options.job, kJobTomlBytesMax));
  auto job = parse_job(text_of(text));
  if (!job) return unexpected(in_context(options.job, job.error()));
  if (options.clients != 0) job->simulation.clients = options.clients;
  return job;
}

// The coordinator of a world holds no imported models: the folder is named here, and read for each job anew.
Result<StartReader> start_of(const Options& options, const JobSpec& job) {
  if (job.start.empty() && !options.start.empty())
    return unexpected(ErrorCode::kInvalidArgument, "--start " + options.start + ": the job has no [model] start; leave it out");
  if (job.start.empty()) return StartReader();
  if (options.start.empty())
    return unexpected(ErrorCode::kInvalidArgument, "model.start = \"" + job.start + "\": name that model's folder of transformers with --start "
                                                   "(what `covey import` brought is in coordinator/models of its --home)");
  const auto read = [folder = options.start](const JobSpec& one) { return open_base(folder, one.model); };
  if (const auto first = read(job); !first) return unexpected(in_context("--start " + options.start, first.error()));
  return StartReader(read);
}

Result<std::unique_ptr<Population>> read_population(const Options& options, const JobSpec& job) {
  std::string data = options.data;
  if (data.empty() && !job.simulation.data.empty())
    data = (std::filesystem::path(options.job).parent_path() / job.simulation.data).string();
  if (data.empty())
    return unexpected(ErrorCode::kInvalidArgument, "no data: name it with --data PATH, or as data in [simulation] of " + options.job);
  if (job.selection.min_clients > job.simulation.clients)
    return unexpected(ErrorCode::kInvalidArgument, "the job waits for selection.min_clients = " + std::to_string(job.selection.min_clients) +
                                                       " clients, but there are " + std::to_string(job.simulation.clients) +
                                                       "; raise --clients or lower min_clients");
  if (!options.tokenizer.empty() && job.data.tokenizer_sha256.empty())
    return unexpected(ErrorCode::kInvalidArgument, "--tokenizer " + options.tokenizer + ": the job pins no tokenizer; leave it out");
  std::error_code ignored;
  const bool data_lacks = !std::filesystem::exists(data, ignored);  // and not the tokenizer
  // A plan was made with the population of the first seed: only then is it the same world.
  auto population = Population::create({job, data, job.simulation.clients, options.faults.empty() ? options.seed : 1, options.tokenizer});
  if (!population && data_lacks && population.error().code == ErrorCode::kNotFound)
    return unexpected(ErrorCode::kNotFound, population.error().message + " (" + (options.data.empty() ? "data in [simulation] of " + options.job : "--data") +
                                                "); name another place with --data PATH");
  return population;
}

Result<void> save(const Options& options, const JobSpec& job, const SimulationResult& result) {
  if (!options.output.empty()) {
    if (result.parameters.empty()) return unexpected(ErrorCode::kUnavailable, "no model to write to " + options.output + ": no round was committed");
    const Bytes file = to_safetensors(parameter_table(job.model), result.parameters,
                                      {{"format", "pt"}, {"covey_job", job.name}, {"covey_round", std::to_string(result.detail.summary.round)}});
    COVEY_TRY_VOID(write_file(options.output, file));
  }
  if (!options.metrics.empty()) {
    std::string lines;
    for (const RoundMetrics& metrics : result.detail.metrics) lines += round_json(job, metrics) + "\n";
    COVEY_TRY_VOID(write_file(options.metrics, bytes_of(lines)));
  }
  return {};
}

Result<FaultPlan> plan_of(const Options& options, std::size_t clients) {
  FaultPlan plan;
  plan.network.loss = options.loss;
  plan.network.duplicate = options.duplicate;
  plan.network.delay = from_seconds(options.delay_ms / 1e3);
  plan.network.jitter = from_seconds(options.jitter_ms / 1e3);
  plan.network.bytes_per_second = options.mbit_per_second * 1e6 / 8;
  for (const std::string& text : options.crashes) {
    COVEY_TRY(Crash crash, crash_from(text, clients));
    plan.crashes.push_back(crash);
  }
  return plan;
}

// A plan's own seed, clients and rounds win over the job's.
Result<Scenario> take_plan(Options& options, JobSpec& job) {
  COVEY_TRY(const Bytes text, read_file(options.faults, kPlanBytesMax));
  auto scenario = scenario_from(text_of(text));
  if (!scenario) return unexpected(in_context(options.faults, scenario.error()));
  options.seed = scenario->seed;
  if (scenario->clients != 0) job.simulation.clients = scenario->clients;
  if (scenario->rounds != 0) job.rounds = scenario->rounds;
  return scenario;
}

// Who was dealt nothing declines each offer: said now, and not after a simulated day.
Result<void> check_dealt(const JobSpec& job, const Population& population) {
  const std::size_t empty = population.spread().empty, least = job.selection.min_clients;
  if (population.clients() - empty >= least) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    std::to_string(empty) + " of " + std::to_string(population.clients()) + " clients are dealt no example to train on, and " +
                        "selection.min_clients = " + std::to_string(least) + " need some: spread the data more evenly (a larger simulation.alpha, another "
                        "simulation.partition), or change simulation.clients");
}

Result<int> run_once(Options options) {
  COVEY_TRY(JobSpec job, read_job(options));
  for (const std::string& path : {options.output, options.metrics})
    if (!path.empty()) COVEY_TRY_VOID(check_output(path));
  std::optional<Scenario> planned;
  if (!options.faults.empty()) {
    COVEY_TRY(planned, take_plan(options, job));
  }
  COVEY_TRY(const auto population, read_population(options, job));
  const Population::Spread spread = population->spread();
  if (!options.json)
    print("job " + job.name + ": " + std::to_string(population->clients()) + " clients, " + std::to_string(spread.train) + " training and " +
          std::to_string(spread.holdout) + " held-out examples (" + std::to_string(spread.least) + " to " + std::to_string(spread.most) +
          " a client" + (spread.empty == 0 ? "" : ", " + std::to_string(spread.empty) + " without any") + "), " +
          std::to_string(parameter_table(job.model).size) + " parameters, seed " + std::to_string(options.seed));
  COVEY_TRY_VOID(check_dealt(job, *population));
  const auto log = options.verbose ? make_log({options.json ? LogFormat::kJson : LogFormat::kText, LogLevel::kDebug, ""}) : nullptr;
  FaultPlan faults;
  if (planned) {
    faults = planned->faults;
  } else {
    COVEY_TRY(faults, plan_of(options, population->clients()));
  }
  SystemClock clock;
  const Instant begin = clock.now();
  const StopSignals signals([] {});
  SimulationRequest request;
  request.job = job;
  COVEY_TRY(request.start, start_of(options, job));
  request.seed = options.seed;
  request.faults = std::move(faults);
  request.threads = options.threads;
  request.horizon = from_seconds(options.horizon_days * 86400);
  if (planned) request.horizon = std::min(request.horizon, planned->faults.last() + CampaignRequest{}.calm);
  request.log = log.get();
  request.on_round = [&](const RoundMetrics& metrics) { print(options.json ? round_json(job, metrics) : round_line(job, metrics)); };
  request.interrupted = [] { return StopSignals::interrupted(); };
  COVEY_TRY(const SimulationResult result, simulate(request, *population));
  const double real = seconds(clock.now() - begin);
  print(options.json ? summary_json(job, result, real) : summary_text(job, result, real));
  COVEY_TRY_VOID(save(options, job, result));
  return result.interrupted ? kExitInterrupted : kExitOk;
}

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    char code[8];
    if (static_cast<unsigned char>(c) < 0x20) std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
    out += static_cast<unsigned char>(c) < 0x20 ? std::string(code) : c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return out + "\"";
}

// What a person needs of a failing seed: the smallest scenario that fails so, a file to replay it, and
// how it ended.
Result<void> explain(const Options& options, const CampaignRequest& request, Populations& populations, std::uint64_t seed,
                     std::uint32_t clients) {
  const Shrunk shrunk = shrink_seed(request, populations, scenario_of_seed(request, seed, clients));
  const Scenario& scenario = shrunk.scenario;
  const std::string path = options.plans + "/seed-" + std::to_string(seed) + ".toml";
  COVEY_TRY_VOID(write_file(path, bytes_of(to_toml(scenario))));
  if (options.json) {
    print("{\"event\":\"shrunk\",\"seed\":" + std::to_string(seed) + ",\"runs\":" + std::to_string(shrunk.runs) + ",\"faults\":" +
          std::to_string(scenario.faults.size()) + ",\"clients\":" + std::to_string(scenario.clients) + ",\"rounds\":" +
          std::to_string(scenario.rounds) + ",\"finding\":" + json_text(scenario.finding) + ",\"plan\":" + json_text(path) + "}");
    return {};
  }
  print("seed " + std::to_string(seed) + " shrank in " + std::to_string(shrunk.runs) + " runs to " +
        std::to_string(scenario.faults.size()) + " faults, " + std::to_string(scenario.clients) + " clients, " +
        std::to_string(scenario.rounds) + " rounds: " + scenario.finding);
  ReplayOptions replayed;
  replayed.story_lines = 24;
  replayed.on_story = [](const std::deque<std::string>& story) {
    for (const std::string& line : story) print("  " + line.substr(0, 200));
  };
  static_cast<void>(replay(request, populations, scenario, replayed));  // for its story: that it fails is known
  print("replay it: covey-sim run " + options.job + " --faults " + path);
  return {};
}

// Errors: kInvalidArgument where the job has no other kind to be mixed with, and that was asked for.
Result<Kinds> kinds_of(const Options& options, const JobSpec& job) {
  if (options.kinds == "job") return Kinds::kAsTheJob;
  const auto other = other_kind(job).validate();
  if (!other && options.kinds.empty()) return Kinds::kAsTheJob;
  if (!other)
    return unexpected(ErrorCode::kInvalidArgument,
                      options.job + " cannot run " + (job.privacy.secure_aggregation ? "without" : "with") +
                          " privacy.secure_aggregation, so its worlds cannot mix both: " + other.error().message + "; use --kinds job");
  return Kinds::kMixed;
}

// One world a thread; a seed's result does not depend on its neighbours.
Result<int> run_faults(const Options& options) {
  COVEY_TRY(const JobSpec job, read_job(options));
  if (options.shrink != 0) COVEY_TRY_VOID(check_output(options.plans + "/seed-N.toml"));
  COVEY_TRY(const auto population, read_population(options, job));
  Populations populations({job, options.data, job.simulation.clients, options.seed, options.tokenizer}, *population);
  const StopSignals signals([] {});
  CampaignRequest request;
  request.job = job;
  COVEY_TRY(request.start, start_of(options, job));
  COVEY_TRY(request.kinds, kinds_of(options, job));
  request.first = options.first;
  request.seeds = options.seeds;
  request.threads = options.threads;
  request.fault_time = from_seconds(options.fault_seconds);
  request.calm = from_seconds(options.calm_minutes * 60);
  request.interrupted = [] { return StopSignals::interrupted(); };
  const bool shows = !options.json && ::isatty(1) != 0;
  if (shows)
    request.on_progress = [&](std::uint64_t done, std::size_t failed) {
      std::printf("\r%llu of %u seeds, %zu failed", static_cast<unsigned long long>(done), options.seeds, failed);
      std::fflush(stdout);
    };
  SystemClock clock;
  const Instant begin = clock.now();
  const Campaign campaign = run_campaign(request, populations, population->clients());
  const double real = seconds(clock.now() - begin);
  if (shows) std::printf("\n");
  for (const auto& [seed, why] : campaign.failures)
    print(options.json ? "{\"event\":\"failed\",\"seed\":" + std::to_string(seed) + ",\"finding\":" + json_text(why) + "}"
                       : "seed " + std::to_string(seed) + ": " + why);
  for (const auto& [seed, says] : campaign.stalemates)
    print(options.json ? "{\"event\":\"stalemate\",\"seed\":" + std::to_string(seed) + ",\"says\":" + json_text(says) + "}"
                       : "seed " + std::to_string(seed) + " is a stalemate: " + says);
  const CampaignReport ended{campaign, options.seeds, campaign.done < options.seeds, real};
  print(options.json ? campaign_json(ended) : campaign_text(ended));
  if (ended.interrupted) return kExitInterrupted;
  for (std::size_t i = 0; i < std::min<std::size_t>(options.shrink, campaign.failures.size()) && !StopSignals::interrupted(); ++i)
    COVEY_TRY_VOID(explain(options, request, populations, campaign.failures[i].first, population->clients()));
  if (StopSignals::interrupted()) return kExitInterrupted;
  return campaign.failures.empty() ? kExitOk : kExitFailed;
}

void common_options(CLI::App& command, Options& options) {
  command.add_option("job", options.job, "Job file (docs/job_file.md)")->required()->check(CLI::ExistingFile);
  command.add_option("--data", options.data, "Data set to divide among the clients; default: data in [simulation]");
  command.add_option("--start", options.start, "Folder of transformers that [model] start of the job means");
  command.add_option("--tokenizer", options.tokenizer, "tokenizer.json that the job pins, or its folder; default: the one in the data's folder");
  command.add_option("--clients", options.clients, "Number of clients; default: clients in [simulation]")->check(CLI::Range(1, 10'000'000));
  command.add_option("--threads", options.threads, "Threads; never changes a result")->capture_default_str()->check(CLI::Range(1, 1024));
  command.add_option("--horizon-days", options.horizon_days, "Give up after this much virtual time")->capture_default_str()->check(CLI::Range(0.001, 36500.0))->check(refuse_nan);
  command.add_flag("--json", options.json, "JSON lines");
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"Covey's simulator: the same coordinator and client code as in production, in virtual time from one seed.\n"
               "Example: covey-sim run examples/mnist/job.toml --clients 20 --seed 7"};
  app.require_subcommand(1);
  app.footer(exit_code_help());
  app.set_version_flag("--version", COVEY_VERSION);

  CLI::App* once = app.add_subcommand("run", "Run a job; the same seed prints the same trace hash");
  common_options(*once, options);
  once->add_option("--seed", options.seed, "Seed of everything random")->capture_default_str()->check(refuse_negative);
  once->add_option("--loss", options.loss, "Probability that a frame is lost")->check(CLI::Range(0.0, 0.9))->check(refuse_nan);
  once->add_option("--duplicate", options.duplicate, "Probability that a frame arrives twice")->check(CLI::Range(0.0, 0.9))->check(refuse_nan);
  once->add_option("--delay-ms", options.delay_ms, "Least delay, one way")->capture_default_str()->check(CLI::Range(0.0, 1e6))->check(refuse_nan);
  once->add_option("--jitter-ms", options.jitter_ms, "Random delay on top; reorders")->capture_default_str()->check(CLI::Range(0.0, 1e6))->check(refuse_nan);
  once->add_option("--mbit", options.mbit_per_second, "Rate of each client's link, Mbit/s")->capture_default_str()->check(CLI::Range(0.001, 1e6))->check(refuse_nan);
  once->add_option("--crash", options.crashes, "NODE@SECONDS+DOWN: a crash and when it starts again; may be repeated; node 0 is the coordinator");
  once->add_option("-o,--output", options.output, "Write the final model, safetensors");
  once->add_option("--metrics", options.metrics, "Write each round's metrics, JSON lines");
  once->add_option("--faults", options.faults, "Replay a plan that covey-sim faults wrote: its seed, clients, rounds and faults; the options for those do not go with it")->check(CLI::ExistingFile);
  once->add_flag("--verbose", options.verbose, "Log what every node logs, to standard error");

  CLI::Option* const plan = once->get_option("--faults");
  for (const char* name : {"--seed", "--clients", "--loss", "--duplicate", "--delay-ms", "--jitter-ms", "--mbit", "--crash"})
    plan->excludes(once->get_option(name));

  CLI::App* faults = app.add_subcommand("faults", "Run a small job under many seeds of random faults and check every promise");
  faults->footer("A seed passes where every promise holds and the job ends. One that ends in a stalemate breaks no promise, and its job\n"
                 "fails all the same: under secure aggregation so many members are bound to a sum that can end neither way (its\n"
                 "shares are partly out, and those who could abort it are gone) that too few are free for another. Stalemates are\n"
                 "counted apart, and alone they do not fail the command. Ctrl-C: what was run is told, exit code 130.\n" +
                 std::string(exit_code_help()));
  common_options(*faults, options);
  faults->add_option("--seeds", options.seeds, "How many seeds")->capture_default_str()->check(CLI::Range(1, 100'000'000));
  faults->add_option("--first", options.first, "The first seed")->capture_default_str()->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 62U));
  faults->add_option("--calm-minutes", options.calm_minutes, "Every job must end within this much virtual time after the last fault")->capture_default_str()->check(CLI::Range(0.1, 1e6))->check(refuse_nan);
  faults->add_option("--shrink", options.shrink, "How many failing seeds are made small and written as plans")->capture_default_str()->check(CLI::Range(0, 1000));
  faults->add_option("--plans", options.plans, "Folder for those plans")->capture_default_str();
  faults->add_option("--kinds", options.kinds, "mixed: half of the worlds run the job with and without secure aggregation side by side; job: as the file says; default: mixed where both can run")
      ->check(CLI::IsMember({"mixed", "job"}));
  faults->add_option("--fault-seconds", options.fault_seconds, "Faults stop after this much virtual time")->capture_default_str()->check(CLI::Range(1.0, 1e6))->check(refuse_nan);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    const int code = app.exit(failure);
    return code == 0 ? kExitOk : kExitUsage;
  }
  // Clients train one per core; the library's own threads would only get in each other's way.
  ::setenv("OMP_NUM_THREADS", "1", 1);
  const auto code = once->parsed() ? run_once(options) : run_faults(options);
  return code ? *code : report(code.error());
}

}  // namespace
}  // namespace covey

int main(int argc, char** argv) {
  try {
    return covey::run(argc, argv);
  } catch (...) {
    return covey::report(covey::error_of_exception());
  }
}
