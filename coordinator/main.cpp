// covey-coordinator: the service. Parses flags, reads its folder, wires the parts, runs.
#include <algorithm>
#include <cstdio>
#include <thread>

#include <CLI/CLI.hpp>

#include "coordinator/coordinator.h"
#include "coordinator/service/home.h"
#include "coordinator/tables.h"
#include "coordinator/work.h"
#include "core/service/exit_code.h"
#include "core/service/file_limit.h"
#include "core/service/orphans.h"
#include "core/service/pooled_executor.h"
#include "core/service/signals.h"
#include "core/service/supervisor.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"
#include "net/reactor.h"

namespace covey {
namespace {

struct Options {
  std::string home = default_home();
  ListenConfig listen;
  std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::uint32_t jobs = 1;
  std::uint32_t nodes_max = 10'000;
  std::uint64_t send_mib = 256;
  bool json = false;
  bool verbose = false;
};

int report(const Error& error) {
  std::fprintf(stderr, "covey-coordinator: %s\n", error.message.c_str());
  return exit_code_of(error.code);
}

// Every node may hold two connections, and the store needs some files.
void check_file_limit(std::uint32_t nodes_max, Log& log) {
  const std::uint64_t limit = raise_file_limit();
  const std::uint64_t wanted = 2 * std::uint64_t{nodes_max} + 256;
  if (limit < wanted)
    log.warning("file_limit_low", {{"limit", limit}, {"wanted", wanted},
                                   {"reason", "a node may hold two connections; raise the hard limit of open files "
                                              "(LimitNOFILE=, ulimit -Hn), or lower --nodes-max"}});
}

Result<int> serve(const Options& options) {
  const std::string folder = coordinator_folder(options.home);
  COVEY_TRY(CoordinatorHome home, load_coordinator_home(folder));
  const auto log = make_log({options.json ? LogFormat::kJson : LogFormat::kText,
                             options.verbose ? LogLevel::kDebug : LogLevel::kInfo, ""});
  check_file_limit(options.nodes_max, *log);
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
  config.nodes_max = options.nodes_max;
  config.operators = home.operators;
  COVEY_TRY(const auto coordinator, Coordinator::create(config, rows));
  PooledExecutor executor(*store, options.threads,
                          [&](const Work& work, const std::atomic<bool>&) {
                            return coordinator_work(work, *blobs, [&](std::string_view key) { return store->get(key); });
                          });
  SystemClock clock;
  ListenConfig listen = options.listen;
  listen.send_bytes_max = options.send_mib << 20U;
  const Supervisor supervisor = Supervisor::from_environment();
  WatchedMachine machine(*coordinator, supervisor, clock);
  COVEY_TRY(const auto reactor, make_listener(listen, {machine, executor, *blobs, clock, *log, home.curve}));
  const StopSignals signals([&reactor] { reactor->request_shutdown(); });
  log->info("coordinator_started", {{"home", options.home}, {"listen", options.listen.address},
                                    {"control_port", reactor->control_port()}, {"bulk_port", reactor->bulk_port()},
                                    {"rows", rows.size()}, {"threads", options.threads}});
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
  app.add_option("--nodes-max", options.nodes_max, "Nodes that may enrol")->capture_default_str()->check(CLI::Range(1, 1000000));
  app.add_option("--io-threads", options.listen.io_threads, "Threads for the connections' ciphers")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--send-budget", options.send_mib, "MiB that may wait to be sent, all nodes together")->capture_default_str()->check(CLI::Range(16, 65536));
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
