// covey-client: the daemon at a site. Parses flags, enrols once, wires the parts, runs.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

#include "client/capability.h"
#include "client/client.h"
#include "client/service/enrol.h"
#include "client/service/site_policy.h"
#include "client/service/work.h"
#include "core/base/thrown.h"
#include "core/service/disk_guard.h"
#include "core/service/exit_code.h"
#include "core/service/file_limit.h"
#include "core/service/flag_number.h"
#include "core/service/hardening.h"
#include "core/service/orphans.h"
#include "core/service/pooled_executor.h"
#include "core/service/settings_file.h"
#include "core/service/signals.h"
#include "core/service/spare_threads.h"
#include "core/service/supervisor.h"
#include "core/service/text_file.h"
#include "core/spec/setting.h"
#include "core/store/blobs.h"
#include "net/reactor.h"
#include "privacy/secagg_cohort.h"

namespace covey {
namespace {

struct Options {
  std::string home = ".covey-client";
  std::string token;
  std::string name;
  std::string data;
  std::string tokenizer;
  std::string hours;
  std::string key_change;
  std::vector<std::string> jobs;
  std::uint32_t threads = 0;
  double memory_gib = 0;
  std::string precision, checkpointing;
  std::uint32_t micro_batch = 0;
  bool plain_updates = false;
  SecureFloors floors;
  bool json = false;
  bool verbose = false;
};

int report(const Error& error) {
  std::fprintf(stderr, "covey-client: %s\n", error.message.c_str());
  return exit_code_of(error.code);
}

// oneDNN's OpenMP reads these once, before its first use.
void limit_threads(std::uint32_t threads) {
  if (threads != 0) ::setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);
  ::setenv("GOMP_SPINCOUNT", "30000", 0);  // do not spin for long when another process has the core
}

// Before a token is spent: what a person mistyped is said at once. A member whose data is away for a
// while starts all the same and declines.
Result<void> check_data(const std::string& path) {
  std::error_code code;
  if (std::filesystem::exists(path, code)) return {};
  return unexpected(ErrorCode::kNotFound, "--data " + path + " does not exist; name the file or folder with this site's data");
}

// A name is given for good when a node enrols; another one later would be read and change nothing.
Result<void> check_name(const Options& options, const Certificate& known) {
  if (options.name.empty() || options.name == known.name) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    "--name " + setting_text(options.name) + ": " + options.home + " is the identity of " + setting_text(known.name) +
                        "; leave --name out, or enrol under another name with a new token in a new folder (--home NEW)");
}

Result<Membership> become_member(const Options& options, BlobStore& blobs, Log& log) {
  COVEY_TRY(auto known, load_membership(options.home));
  if (known) {
    COVEY_TRY_VOID(check_role("the identity in " + options.home, known->certificate.role(), Role::kClient));
    if (!options.token.empty()) {
      COVEY_TRY_VOID(check_token(options.token, options.home, known->certificate));
      log.info("already_enrolled", {{"name", known->certificate.name}, {"note", "the token is not needed again"}});
    }
    COVEY_TRY_VOID(check_name(options, known->certificate));
    return std::move(*known);
  }
  if (options.token.empty())
    return unexpected(ErrorCode::kInvalidArgument,
                      options.home + " holds no membership yet; give the join token that the operator made with `covey token`: --token TEXT, or --token @FILE");
  if (options.name.empty())
    return unexpected(ErrorCode::kInvalidArgument, "--name is missing: the name under which the operator will see this node");
  COVEY_TRY_VOID(check_data(options.data));
  SystemRandom random;
  log.info("enrolling", {{"name", options.name}});
  COVEY_TRY(Membership membership, enrol({options.home, options.token, options.name, Role::kClient, options.key_change}, blobs, random));
  log.info("enrolled", {{"name", membership.certificate.name}, {"node", short_hex(membership.certificate.curve)}});
  return membership;
}

// The newest change of the coordinator's key: of the store, or of the file that the operator gave.
Result<std::optional<KeyChange>> newest_key_change(const Options& options, const Membership& membership, Store& store, Log& log) {
  COVEY_TRY(const auto rows, store.scan(""));
  COVEY_TRY(std::optional<KeyChange> known, key_change_in(rows));
  if (options.key_change.empty()) return known;
  COVEY_TRY(const KeyChange given, read_key_change(options.key_change, membership.coordinator));
  if (known && known->serial >= given.serial) return known;
  Row row = key_change_row(given);
  Batch batch;
  batch.put(std::move(row.key), std::move(row.value));
  COVEY_TRY_VOID(store.write(batch));
  log.info("key_change_kept", {{"key", short_hex(given.after.key)}, {"serial", given.serial}, {"before_until", iso8601(given.old_until)}});
  return std::optional(given);
}

Result<Policy> policy_of(const Options& options) {
  Policy policy;
  if (!options.hours.empty()) {
    COVEY_TRY(policy.hours, hours_from(options.hours));
  }
  policy.memory_bytes_max = static_cast<std::uint64_t>(options.memory_gib * 1024 * 1024 * 1024);
  policy.jobs_allowed = options.jobs;
  policy.plain_updates = options.plain_updates;
  if (!options.precision.empty()) {
    COVEY_TRY(policy.training.precision, precision_from(options.precision));
  }
  if (!options.checkpointing.empty()) {
    COVEY_TRY(policy.training.checkpointing, checkpointing_from(options.checkpointing));
  }
  policy.training.micro_batch = options.micro_batch;
  return policy;
}

Result<int> serve(const Options& options) {
  const auto log = make_log({options.json ? LogFormat::kJson : LogFormat::kText,
                             options.verbose ? LogLevel::kDebug : LogLevel::kInfo, ""});
  COVEY_TRY(Policy policy, policy_of(options));
  COVEY_TRY_VOID(raise_file_limit_to(files_needed(1)));
  COVEY_TRY_VOID(make_folders(options.home, 0700));
  COVEY_TRY_VOID(make_folders(options.home + "/data", 0700));
  COVEY_TRY(const auto store, open_rocks_store(options.home + "/data/db"));
  COVEY_TRY(const auto blobs, open_blob_files(options.home + "/data/blobs"));
  COVEY_TRY(const Membership membership, become_member(options, *blobs, *log));
  COVEY_TRY(NodeKeys keys, load_keys(options.home));
  COVEY_TRY(const std::optional<KeyChange> change, newest_key_change(options, membership, *store, *log));
  COVEY_TRY(ClientPolicy secure, secure_policy_of(options.floors, membership.coordinator.authority));
  COVEY_TRY(const auto rows, store->scan(""));
  COVEY_TRY(const std::vector<Digest> referenced, referenced_blobs(rows));
  COVEY_TRY(const std::size_t orphans, erase_orphans(*blobs, {referenced.begin(), referenced.end()}));
  if (orphans != 0) log->info("orphans_erased", {{"blobs", orphans}});

  SystemClock clock;
  SystemRandom random;
  const auto ops = make_cpu_ops();
  ClientConfig config;
  config.coordinator = {membership.coordinator.curve, 1};
  config.capability = measure_capability(*ops, clock, {options.threads, policy.memory_bytes_max});
  config.policy = policy;
  config.certificate = membership.certificate;
  config.authority = membership.coordinator.authority;
  config.record = membership.coordinator.record;
  config.signing = std::make_shared<const SigningKey>(std::move(keys.signing));
  config.secure = std::move(secure);
  config.has_aes = has_aes_instructions();
  SpareThreads spare(config.capability.cores);
  config.public_work = std::make_shared<PublicWork>(
      PublicWork::Memory::kForget, [&spare](std::size_t count, const std::function<void(std::size_t)>& part) { spare.share(count, part); });
  random.fill({reinterpret_cast<std::uint8_t*>(&config.instance), sizeof config.instance});
  COVEY_TRY(const auto client, Client::create(config, rows));

  const auto source = make_path_source(options.data, options.tokenizer);
  ClientWork work({*source, *blobs, clock, keys.curve.public_key(), config.capability.cores,
                   {config.capability.memory_bytes, Bf16Speed::kSlow, policy.training}, log.get()});
  PooledExecutor executor(*store, 2, [&work](const Work& w, const std::atomic<bool>& cancelled) { return work(w, cancelled); });
  DiskGuard guard(*client, "", [&options] { return check_blob_folders(options.home + "/data/blobs"); });
  const Supervisor supervisor = Supervisor::from_environment();
  WatchedMachine machine(guard, supervisor, clock);
  DialConfig dialling{membership.coordinator, change};
  dialling.stands = [&client](Instant now) { return client->membership_stands(now); };
  COVEY_TRY(const auto reactor, make_dialer(dialling, {machine, executor, *blobs, clock, *log, keys.curve}));
  const StopSignals signals([&reactor] { reactor->request_shutdown(); });
  log->info("client_started", {{"name", membership.certificate.name},
                               {"coordinator", membership.coordinator.host + ":" + std::to_string(membership.coordinator.control_port)},
                               {"signing", hex(membership.certificate.signing.span())}, {"data", options.data}, {"cores", config.capability.cores},
                               {"memory_mib", config.capability.memory_bytes >> 20U}, {"gflops", config.capability.gflops}});
  supervisor.ready("training for " + membership.coordinator.host + " as " + membership.certificate.name);
  return reactor->run();
}

void add_floors(CLI::App& app, SecureFloors& floors) {
  const std::string group = "What this site insists on in secure aggregation";
  app.add_option("--members-min", floors.members_min, "Members at least")->capture_default_str()->group(group);
  app.add_option("--survivors-min", floors.survivors_min, "Updates in a sum at least")->capture_default_str()->group(group);
  app.add_option("--honest-min", floors.honest_min, "Of them beyond those that may be corrupt")->capture_default_str()->group(group);
  app.add_option("--corrupt-min", floors.corrupt_min, "Corrupt members to be reckoned with at least")->capture_default_str()->group(group);
  app.add_option("--gamma-min", floors.gamma_min, "Share of the members asked to be reckoned with as corrupt")->capture_default_str()->group(group);
  app.add_option("--sigma-min", floors.sigma_min, "Bits of security against them at least")->capture_default_str()->group(group);
  app.add_option("--dropout-max", floors.dropout_max, "Share of members that may drop out at most")->capture_default_str()->group(group);
  app.add_option("--pinned-keys", floors.pinned_file, "File with the signing keys of the only nodes to aggregate with")->group(group);
}

int run(int argc, char** argv) {
  if (const auto safe = forbid_core_dumps(); !safe) return report(safe.error());
  Options options;
  CLI::App app{"A client of a Covey federation: trains on local data that never leaves this machine."};
  app.footer(exit_code_help());
  app.add_option("--home", options.home, "Folder for this node's identity and state")->capture_default_str();
  app.add_option("--token", options.token, "Join token, or @FILE; needed once. @FILE is safer: other users see a token in the list of processes until it is read");
  app.add_option("--name", options.name, "This node's name; needed once");
  app.add_option("--data", options.data, "Local data: a file or a folder")->required();
  app.add_option("--tokenizer", options.tokenizer,
                 "The tokenizer.json that jobs pin, or its folder; left out: the one in the data's folder");
  app.add_option("--key-change", options.key_change, "File with the newest change of the coordinator's key, as its operator saved it; after a long absence");
  app.add_option("--threads", options.threads, "Cores to lend (0: all)")->capture_default_str()->check(CLI::Range(0, 1024));
  app.add_option("--memory", options.memory_gib, "Memory to lend, GiB (0: all)")->capture_default_str()->check(CLI::Range(0.0, 65536.0))->check(refuse_nan);
  app.add_option("--precision", options.precision, "Compute in this, where the job leaves it open")
      ->check(CLI::IsMember({"f32", "bf16", "fp16"}));
  app.add_option("--checkpointing", options.checkpointing, "block: compute blocks twice and hold less; default: what fits")
      ->check(CLI::IsMember({"none", "block"}));
  app.add_option("--micro-batch", options.micro_batch, "Examples computed at once (0: what fits)")
      ->capture_default_str()->check(CLI::Range(0, 65536));
  app.add_option("--hours", options.hours, "Train only in these hours, UTC, e.g. 22-6");
  app.add_option("--job", options.jobs, "Take part only in jobs of this name; may be repeated");
  app.add_flag("--plain-updates", options.plain_updates,
               "Also train for jobs without secure aggregation, whose coordinator sees this site's updates one by one");
  app.add_flag("--plain_updates", options.plain_updates)->group("");  // as configuration files spell it, too
  add_floors(app, options.floors);
  app.add_flag("--json", options.json, "Log as JSON lines");
  app.add_flag("--verbose", options.verbose, "Log details");
  app.set_version_flag("--version", COVEY_VERSION);
  app.set_config("--config", "", "Settings in TOML: the flags above without dashes")->check(why_not_readable);
  app.allow_config_extras(CLI::config_extras_mode::error);  // a mistyped setting must not be left out
  try {
    app.parse(argc, argv);
  } catch (const CLI::ConfigError& failure) {
    return report(settings_error(app.get_config_ptr()->as<std::string>(), failure.what(), setting_names(app)));
  } catch (const CLI::ParseError& failure) {
    const int code = app.exit(failure);
    return code == 0 ? kExitOk : kExitUsage;
  }
  hide_argument(argc, argv, "--token");
  limit_threads(options.threads);
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
