// covey-coordinator: the service. Parses flags, reads its folder, wires the parts, runs.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <CLI/CLI.hpp>

#include "coordinator/coordinator.h"
#include "coordinator/service/home.h"
#include "coordinator/tables.h"
#include "coordinator/work.h"
#include "core/service/exit_code.h"
#include "core/service/orphans.h"
#include "core/service/pooled_executor.h"
#include "core/service/signals.h"
#include "core/service/supervisor.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"
#include "net/reactor.h"

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
  std::uint64_t memory_mib = memory_default_mib();
  bool json = false;
  bool verbose = false;
};

int report(const Error& error) {
  std::fprintf(stderr, "covey-coordinator: %s\n", error.message.c_str());
  return exit_code_of(error.code);
}

Result<int> serve(const Options& options) {
  const std::string folder = coordinator_folder(options.home);
  COVEY_TRY(CoordinatorHome home, load_coordinator_home(folder));
  const auto log = make_log({options.json ? LogFormat::kJson : LogFormat::kText,
                             options.verbose ? LogLevel::kDebug : LogLevel::kInfo, ""});
  COVEY_TRY_VOID(make_folders(folder + "/data", 0700));
  COVEY_TRY(const auto store, open_rocks_store(folder + "/data/db"));
  COVEY_TRY(const auto blobs, open_blob_files(folder + "/data/blobs"));
  COVEY_TRY(const auto rows, store->scan(""));
  COVEY_TRY(const std::set<Digest> referenced, blobs_in_rows(rows));
  COVEY_TRY(const std::size_t orphans, erase_orphans(*blobs, referenced));
  if (orphans != 0) log->info("orphans_erased", {{"blobs", orphans}});

  CoordinatorConfig config;
  config.authority = home.address.authority;
  config.record_key = home.record;
  config.jobs_running_max = options.jobs;
  config.memory_bytes_max = options.memory_mib << 20;
  config.operators = home.operators;
  COVEY_TRY(const auto coordinator, Coordinator::create(config, rows));
  CoordinatorWork work({options.threads, config.memory_bytes_max, [&](std::string_view key) { return store->get(key); }});
  PooledExecutor executor(*store, options.threads, [&](const Work& one, const std::atomic<bool>&) { return work.compute(one, *blobs); });
  SystemClock clock;
  const Supervisor supervisor = Supervisor::from_environment();
  WatchedMachine machine(*coordinator, supervisor, clock);
  COVEY_TRY(const auto reactor, make_listener(options.listen, {machine, executor, *blobs, clock, *log, home.curve}));
  log->info("coordinator_started", {{"home", options.home}, {"listen", options.listen.address},
                                    {"control_port", reactor->control_port()}, {"bulk_port", reactor->bulk_port()},
                                    {"rows", rows.size()}, {"threads", options.threads}, {"memory_mib", options.memory_mib}});
  const StopSignals signals([&reactor] { reactor->request_shutdown(); });
  supervisor.ready("serving on ports " + std::to_string(reactor->control_port()) + " and " + std::to_string(reactor->bulk_port()));
  return reactor->run();
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"The coordinator of a Covey federation. `covey init` makes the folder it reads."};
  app.footer(exit_code_help());
  app.add_option("--home", options.home, "Folder that `covey init` made")->capture_default_str();
  app.add_option("--listen", options.listen.address, "Address to listen on; 0.0.0.0 for every network")->capture_default_str();
  app.add_option("--control-port", options.listen.control_port, "Control port (0: any free one)")->capture_default_str();
  app.add_option("--bulk-port", options.listen.bulk_port, "Port for models and updates (0: any free one)")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads for aggregation")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--jobs", options.jobs, "Jobs that run at the same time; others wait")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--memory", options.memory_mib, "MiB for the sums of running jobs with durability = \"attempt\"; a job that never fits is refused, one that does not fit now waits")
      ->capture_default_str()->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 30));
  app.add_flag("--json", options.json, "Log as JSON lines");
  app.add_flag("--verbose", options.verbose, "Log details");
  app.set_version_flag("--version", COVEY_VERSION);
  app.set_config("--config", "", "Settings in TOML; default <home>/coordinator/coordinator.toml");
  try {
    app.parse(argc, argv);
    const std::string config = coordinator_folder(options.home) + "/coordinator.toml";
    if (app.count("--config") == 0 && read_file(config, 64 * 1024).has_value()) {
      app.get_config_ptr()->default_val(config);
      app.clear();
      app.parse(argc, argv);
    }
  } catch (const CLI::ParseError& failure) {
    const int code = app.exit(failure);
    return code == 0 ? kExitOk : kExitUsage;
  }
  const auto code = serve(options);
  return code ? *code : report(code.error());
}

}  // namespace
}  // namespace covey

int main(int argc, char** argv) { return covey::run(argc, argv); }
