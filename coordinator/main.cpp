// covey-coordinator: the service. Parses flags, reads its folder, wires the parts, runs.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "coordinator/coordinator.h"
#include "coordinator/service/backup_desk.h"
#include "coordinator/service/durable_state.h"
#include "coordinator/service/home.h"
#include "coordinator/service/key_folder.h"
#include "coordinator/service/start_models.h"
#include "coordinator/work.h"
#include "core/base/thrown.h"
#include "core/service/disk_guard.h"
#include "core/service/exit_code.h"
#include "core/service/file_limit.h"
#include "core/service/hardening.h"
#include "core/service/heap.h"
#include "core/service/pooled_executor.h"
#include "core/service/settings_file.h"
#include "core/service/signals.h"
#include "core/service/spare_threads.h"
#include "core/service/supervisor.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"
#include "net/reactor.h"
#include "privacy/secagg_cohort.h"

namespace covey {
namespace {

// Half of what this machine has.
std::uint64_t memory_default_mib() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || bytes <= 0) return 1024;
  return static_cast<std::uint64_t>(pages) / 2 * static_cast<std::uint64_t>(bytes) >> 20;
}

struct Options {
  std::string home = default_home();
  ListenConfig listen;
  std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::uint32_t jobs = 1;
  std::string mark;
  std::string recover = "strict";
  bool accept_missing_mark = false;
  std::string backups;
  std::size_t backups_keep = 7;
  std::uint32_t nodes_max = 10'000;
  std::uint64_t send_mib = 256;
  QuotaSpec job_caps;
  std::uint64_t memory_mib = memory_default_mib();
  bool paused = false;
  bool json = false;
  bool verbose = false;
};

int report(const Error& error) {
  std::fprintf(stderr, "covey-coordinator: %s\n", error.message.c_str());
  return exit_code_of(error.code);
}

StateOptions state_options(const Options& options, const std::string& folder) {
  return {folder, options.mark.empty() ? default_mark_path(folder) : options.mark,
          options.recover == "point-in-time" ? Recovery::kPointInTime : Recovery::kStrict,
          options.accept_missing_mark ? MissingMark::kAccept : MissingMark::kRefuse};
}

Result<void> check_file_limit(const Options& options, Log& log) {
  COVEY_TRY(const std::uint64_t limit, raise_file_limit_to(files_needed(options.listen.io_threads)));
  const std::uint64_t wanted = files_wanted(options.nodes_max);
  if (limit < wanted)
    log.warning("file_limit_low", {{"limit", limit}, {"wanted", wanted},
                                   {"reason", "a node may hold two connections; raise the hard limit of open files "
                                              "(LimitNOFILE=, ulimit -Hn), or lower --nodes-max"}});
  return {};
}

// Where the key that is served came with a change, its ports did too, and the flags are of the first key.
ListenConfig listen_config(ListenConfig listen, const CoordinatorHome& home, const std::string& folder) {
  for (const KeyChange& change : home.changes)
    if (change.after.key == home.curve.public_key()) {
      listen.control_port = change.after.control_port;
      listen.bulk_port = change.after.bulk_port;
    }
  if (const KeyChange* lasts = change_under_way(home)) listen.also = lasts->after;
  listen.key_of = [folder](const PeerKey& key) { return load_key(folder, key); };
  return listen;
}

Result<int> serve(const Options& options) {
  share_one_heap();
  const HeapKeeper heap;
  const std::string folder = coordinator_folder(options.home);
  COVEY_TRY(CoordinatorHome home, load_coordinator_home(folder));
  COVEY_TRY_VOID(check_operators(folder, home.address.authority));
  const auto log = make_log({options.json ? LogFormat::kJson : LogFormat::kText,
                             options.verbose ? LogLevel::kDebug : LogLevel::kInfo, ""});
  COVEY_TRY_VOID(check_file_limit(options, *log));
  COVEY_TRY(DurableState state, open_state(state_options(options, folder), *log));
  COVEY_TRY(const std::uint64_t retired, retired_key_change(state.rows));
  COVEY_TRY_VOID(settle_keys(folder, home.changes, retired));  // under the lock of the state
  COVEY_TRY(home, load_coordinator_home(folder));

  CoordinatorConfig config;
  config.authority = home.address.authority;
  config.record_key = home.record;
  config.jobs_running_max = options.jobs;
  config.jobs_paused = options.paused;
  config.memory_bytes_max = options.memory_mib << 20U;
  config.job_caps = options.job_caps;
  config.nodes_max = options.nodes_max;
  config.operators = home.operators;
  config.renewals = home.renewals;
  config.keys = TransportKeys{home.curve.public_key(), home.changes.empty() ? std::nullopt : std::optional(home.changes.back())};
  config.partials = std::exchange(state.partials, {});
  SpareThreads spare(options.threads);
  config.public_work = std::make_shared<PublicWork>(
      PublicWork::Memory::kForget, [&spare](std::size_t count, const std::function<void(std::size_t)>& part) { spare.share(count, part); });
  COVEY_TRY(const auto coordinator, Coordinator::create(config, state.rows));
  const std::size_t rows = std::exchange(state.rows, {}).size();  // 1 kB a node, which the machine has in its own form
  DiskGuard guard(*coordinator, "where a job needs more than there is, start with --paused and stop it with `covey stop JOB`",
                  [&folder] { return check_blob_folders(folder + "/data/blobs"); });
  SystemRandom random;
  CoordinatorWork work({options.threads, config.memory_bytes_max,
                        [&state](std::string_view key) { return state.store->get(key); },
                        [&folder, &random](const RotateKey& rotate) { return rotate_key(folder, rotate, random); },
                        [&folder, &log](const JobSpec& job) { return open_start(folder + "/" + kStartModelsFolder, job, *log); }});
  PooledExecutor executor(*state.store, options.threads, [&](const Work& one, const std::atomic<bool>&) {
    return work.compute(one, *state.blobs);
  });
  SystemClock clock;
  const Supervisor supervisor = Supervisor::from_environment();
  WatchedMachine machine(guard, supervisor, clock);
  ListenConfig listen = listen_config(options.listen, home, folder);
  listen.send_bytes_max = options.send_mib << 20U;
  COVEY_TRY(const auto reactor, make_listener(listen, {machine, executor, *state.blobs, clock, *log, home.curve}));
  const std::string backups = options.backups.empty() ? folder + "/backups" : options.backups;
  COVEY_TRY(const auto desk, BackupDesk::open({folder, backups, options.backups_keep, home.curve.public_key()}, *state.store, *log));
  const StopSignals signals([&reactor] { reactor->request_shutdown(); });
  log->info("coordinator_started", {{"home", options.home}, {"listen", options.listen.address},
                                    {"control_port", reactor->control_port()}, {"bulk_port", reactor->bulk_port()},
                                    {"rows", rows}, {"threads", options.threads},
                                    {"memory_mib", options.memory_mib}});
  supervisor.ready("serving on ports " + std::to_string(reactor->control_port()) + " and " + std::to_string(reactor->bulk_port()));
  return reactor->run();
}

int run(int argc, char** argv) {
  if (const auto safe = forbid_core_dumps(); !safe) return report(safe.error());
  Options options;
  std::string updates_max = "0 B";
  CLI::App app{"The coordinator of a Covey federation. `covey init` makes the folder it reads."};
  app.footer(exit_code_help());
  app.add_option("--home", options.home, "Folder that `covey init` made")->capture_default_str();
  app.add_option("--listen", options.listen.address, "Address to listen on; 0.0.0.0 for every network")->capture_default_str();
  app.add_option("--control-port", options.listen.control_port, "Control port (0: any free one)")->capture_default_str();
  app.add_option("--bulk-port", options.listen.bulk_port, "Port for models and updates (0: any free one)")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads for aggregation")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--jobs", options.jobs, "Jobs that run at the same time; others wait")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--ledger-mark", options.mark, "File that tells a store which lost records; best on another disk. Default: ledger.mark beside data/");
  app.add_option("--recover", options.recover, "strict: refuse a damaged log; point-in-time: keep what lies before the damage")
      ->capture_default_str()->check(CLI::IsMember({"strict", "point-in-time"}))->configurable(false);
  app.add_flag("--accept-missing-mark", options.accept_missing_mark, "Start although the ledger mark is lost, and make a new one")->configurable(false);
  app.add_option("--backups", options.backups, "Folder for this coordinator's own backups. Default: backups/ beside data/");
  app.add_option("--backups-keep", options.backups_keep, "How many of its own backups to keep")->capture_default_str()->check(CLI::Range(1, 100000));
  app.add_option("--nodes-max", options.nodes_max, "Nodes that may enrol")->capture_default_str()->check(CLI::Range(1, 1000000));
  app.add_option("--io-threads", options.listen.io_threads, "Threads for the connections' ciphers")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--send-budget", options.send_mib, "MiB that may wait to be sent, all nodes together")->capture_default_str()->check(CLI::Range(16, 65536));
  app.add_option("--memory", options.memory_mib, "MiB for the sums of running jobs with durability = \"attempt\", and for robust rules while they work; a job that never fits is refused, one that does not fit now waits")
      ->capture_default_str()->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 30));
  app.add_option("--job-nodes-max", options.job_caps.nodes_max, "Clients that any one job may engage at once; a job that asks for more is refused (0: no bound)")->capture_default_str();
  app.add_option("--job-updates-max", updates_max, "Updates that any one job may have on their way or held at once, as \"4 GiB\"; a job that asks for more is refused (\"0 B\": no bound)")
      ->capture_default_str();
  app.add_flag("--paused", options.paused, "Run no job: for the operator to stop one, as one that does not fit the disk")->configurable(false);
  app.add_flag("--json", options.json, "Log as JSON lines");
  app.add_flag("--verbose", options.verbose, "Log details");
  app.set_version_flag("--version", COVEY_VERSION);
  app.set_config("--config", "", "Settings in TOML; default <home>/coordinator/coordinator.toml")->check(why_not_readable);
  app.allow_config_extras(CLI::config_extras_mode::error);  // a mistyped setting must not be left out
  try {
    app.parse(argc, argv);
    const std::string config = coordinator_folder(options.home) + "/coordinator.toml";
    const auto settings = read_file(config, 64 * 1024);
    if (app.count("--config") == 0 && !settings && settings.error().code != ErrorCode::kNotFound) return report(settings.error());
    if (app.count("--config") == 0 && settings) {
      app.get_config_ptr()->default_val(config);
      app.clear();
      app.parse(argc, argv);
    }
  } catch (const CLI::ConfigError& failure) {
    return report(settings_error(app.get_config_ptr()->as<std::string>(), failure.what(), setting_names(app)));
  } catch (const CLI::ParseError& failure) {
    const int code = app.exit(failure);
    return code == 0 ? kExitOk : kExitUsage;
  }
  const auto updates = size_from(updates_max);
  if (!updates) return report({updates.error().code, "--job-updates-max " + updates.error().message});
  options.job_caps.update_bytes_max = *updates;
  const auto code = serve(options);
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
