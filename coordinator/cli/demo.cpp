// covey demo: a federation of real processes on this machine, then the same steps spent alone.
#include <cstdlib>
#include <filesystem>
#include <numbers>
#include <optional>

#include "coordinator/cli/audit_log.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/demo_alone.h"
#include "coordinator/cli/demo_federation.h"
#include "coordinator/cli/demo_folder.h"
#include "coordinator/cli/demo_summary.h"
#include "coordinator/cli/demo_training.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/pull.h"
#include "coordinator/cli/report.h"
#include "coordinator/cli/vouching.h"
#include "core/base/clock.h"
#include "core/nn/generate.h"
#include "core/protocol/manifest.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr const char* kSamplePrompt = "The ";
constexpr std::size_t kSampleBytes = 400;
constexpr double kSampleTemperature = 0.7;
constexpr double kAgreement = 1e-3;  // bits per byte, between the clients' measurement and ours

std::string text_of_count(std::uint64_t count) { return std::to_string(count); }

struct Stage {  // what the stages hand on
  std::vector<DemoClient> clients;
  std::vector<LocalData> data;
  JobSpec job;
  double step_seconds = 0;
};

struct Trained {  // by the federation
  std::vector<float> parameters;
  double seconds = 0;
  EvalStats measured;                   // by the clients, of the final model: all that is known is their sum
  std::uint32_t measuring = 0;          // how many of them
  std::uint32_t sums = 0, least = 0, most = 0;  // DemoResult
  std::vector<PeerKey> keys;            // of the clients, in their order
};

std::string job_file_text(const JobSpec& job, std::size_t clients) {
  return "# Written by `covey demo`: every setting of the job, as docs/job_file.md explains them.\n"
         "# [simulation] is read by covey-sim alone: it deals the " +
         std::to_string(clients) +
         " clients' files anew, whole files at a time,\n# largest first to the client that has least, so its "
         "clients' texts are mixed.\n" +
         to_toml(job);
}

Result<Stage> prepare(const DemoOptions& options, Console& console) {
  console.note(
      "1. Text: what lies on this machine, a different kind for each client, the same amount for all");
  Stage stage;
  COVEY_TRY(stage.clients, prepare_corpora({options.data, options.folder + "/corpora"}, console));
  stage.job = demo_job(1);
  COVEY_TRY(stage.data, load_clients(stage.job, stage.clients));
  const std::size_t cores = cores_here();
  console.progress("measuring how long a training step takes");
  COVEY_TRY(stage.step_seconds,
            seconds_per_step(stage.job, stage.data, std::min(cores, stage.clients.size())));
  const std::uint32_t steps =
      steps_per_round(options.seconds, stage.step_seconds, stage.clients.size(), cores, stage.job.rounds);
  const double sharing = static_cast<double>(stage.clients.size()) / static_cast<double>(std::min(stage.clients.size(), cores));
  stage.job = demo_job(steps, steps * stage.step_seconds * sharing);
  stage.job.simulation.data = "corpora";
  stage.job.simulation.clients = static_cast<std::uint32_t>(stage.clients.size());
  stage.job.simulation.partition.kind = PartitionKind::kFile;
  COVEY_TRY_VOID(stage.job.validate());
  COVEY_TRY_VOID(
      write_file(options.folder + "/job.toml", bytes_of(job_file_text(stage.job, stage.clients.size()))));
  console.note("2. Job: a transformer of " + text_of_count(parameter_table(stage.job.model).size) +
               " parameters over bytes; " + text_of_count(stage.job.rounds) + " rounds of " +
               text_of_count(steps) + " steps a client; a step takes " +
               fixed_text(stage.step_seconds * 1e3, 0) + " ms, " + std::to_string(cores) +
               " cores: " + options.folder + "/job.toml");
  return stage;
}

// Before anything is trained: what the coordinator will see.
std::vector<std::string> announcement(std::size_t clients) {
  return {"Secure aggregation is on: every client masks its update, and the coordinator learns the sum of up to " + text_of_count(clients) +
              " masked updates a round (never of fewer than " + text_of_count(kSecureClientsMin) +
              "), and no client's own update, loss or number of examples.",
          "Who the clients are the authority says, whose key is on this machine as everything else is: this shows protection "
          "against a coordinator that was broken into, not against whoever runs this machine."};
}

// What the coordinator has signed of all this, held against what it was pinned to.
Result<void> verify_records(Session& session, Console& console) {
  AuditLog log;
  COVEY_TRY(log.audit, session.chain<ListAudit>());
  COVEY_TRY(log.ledger, session.chain<ListLedger>());
  COVEY_TRY(const VerifiedLog verified, verify_log(log, session.membership().coordinator.record));
  console.note("   the coordinator's audit log verifies: " + text_of_records(verified));
  return {};
}

Result<Trained> train_federated(const DemoOptions& options, const Stage& stage, Console& console) {
  COVEY_TRY(const Programs programs, find_programs());
  MemoryBlobs blobs;
  COVEY_TRY(const auto federation,
            Federation::start({programs, options.folder, stage.clients, !stage.job.privacy.secure_aggregation}, blobs, console));
  Session& session = federation->session();
  console.note("3. Federation: a coordinator and " + std::to_string(federation->size()) +
               " clients, each a process with its own keys (" + options.folder + "/*.log)");
  for (const std::string& line : announcement(federation->size())) console.note("   " + line);
  COVEY_TRY_VOID(vouch_for_job(session, federation->home(), stage.job, console));
  SystemRandom random;
  std::uint64_t nonce = 0;
  random.fill({reinterpret_cast<std::uint8_t*>(&nonce), sizeof nonce});
  COVEY_TRY(const JobId job, session.submit(to_toml(stage.job), nonce));
  if (options.chaos > 0) {
    federation->begin_chaos(options.chaos);
    console.note("   with a kill -9 of one of them about every " + duration_text(options.chaos));
  }
  COVEY_TRY(
      const Followed followed,
      follow_job(session, {job, stage.job, "", [&federation, &options] { return options.chaos > 0 ? Result<void>() : federation->check_coordinator(); }},
                 console));
  if (followed.interrupted) return unexpected(ErrorCode::kUnavailable, "interrupted");
  COVEY_TRY(const std::string chaos, federation->end_chaos());
  if (!chaos.empty()) console.note("   " + chaos + "; all came back");
  if (const std::string end = federation->casualty(); !end.empty()) console.warn("demo: " + end);
  if (followed.summary.state != JobState::kFinished)
    return unexpected(ErrorCode::kInternal,
                      "the job did not finish: " + state_line(followed.summary, followed.summary.ended) +
                          "; see " + options.folder + "/*.log");
  COVEY_TRY_VOID(verify_records(session, console));
  COVEY_TRY(PulledModel pulled,
            pull_model(session, blobs, followed.summary, options.folder + "/model", console));
  COVEY_TRY(const ReportData report, report_data(session, job));
  COVEY_TRY_VOID(write_file(options.folder + "/report.html", bytes_of(report_html(report))));
  Trained trained{
      std::move(pulled.parameters), seconds(followed.summary.ended - followed.summary.submitted), {}, 0, 0, 0, 0, {}};
  for (const RoundMetrics& row : report.rounds) {
    trained.least = trained.sums++ == 0 ? row.delivered : std::min(trained.least, row.delivered);
    trained.most = std::max(trained.most, row.delivered);
    if (row.round != stage.job.rounds + 1) continue;
    trained.measured = row.evaluation;
    trained.measuring = row.delivered;
  }
  COVEY_TRY(const auto nodes, session.nodes());
  for (const DemoClient& client : stage.clients)
    for (const NodeSummary& node : nodes)
      if (node.name == client.name) trained.keys.push_back(node.key);
  console.progress("stopping the federation");
  return trained;
}

struct Measured {
  std::vector<double> bits;  // per byte, by client
  EvalStats sum;
};
Result<Measured> measure(const Stage& stage, const std::vector<float>& parameters) {
  MemoryBlobs blobs;
  COVEY_TRY(const BlobRef model, write_model(blobs, stage.job.model, 0, parameters));
  Measured measured;
  for (const LocalData& data : stage.data) {
    COVEY_TRY(const EvalStats stats, evaluate_on(stage.job, model, data, blobs));
    measured.bits.push_back(bits_per_byte(stats));
    measured.sum += stats;
  }
  return measured;
}

// The daemons measured the same model on the same held-out text, and the sum of that is known.
void compare_with_clients(const Stage& stage, const Trained& trained, const EvalStats& ours, Console& console) {
  const std::string who = std::to_string(trained.measuring) + " clients";
  if (trained.measuring < stage.clients.size()) {
    console.note("   " + who + " of " + text_of_count(stage.clients.size()) + " measured it too; " +
                 (trained.measuring == 0 ? "there is no sum" : "the sum over some is not held against that over all"));
    return;
  }
  const double theirs = bits_per_byte(trained.measured), here = bits_per_byte(ours);
  if (std::abs(theirs - here) < kAgreement)
    console.note("   the " + who + " had measured the same, as far as their sum tells: " + fixed_text(theirs, 4) + " bits per byte over all text");
  else
    console.warn("demo: the " + who + " measured " + fixed_text(theirs, 4) + " bits per byte of the federated model over all text, here it is " +
                 fixed_text(here, 4));
}

Result<DemoResult> evaluate(const Stage& stage, const Trained& federated,
                            const std::vector<std::vector<float>>& alone, Console& console) {
  console.progress("measuring every model on every client's held-out text");
  DemoResult result;
  for (const DemoClient& client : stage.clients) result.clients.push_back(client.name);
  COVEY_TRY(Measured initial, measure(stage, initial_parameters_of(stage.job)));
  result.initial = std::move(initial.bits);
  for (const auto& model : alone) {
    COVEY_TRY(Measured one, measure(stage, model));
    result.alone.push_back(std::move(one.bits));
  }
  COVEY_TRY(Measured ours, measure(stage, federated.parameters));
  result.federated = std::move(ours.bits);
  result.rounds = stage.job.rounds;
  result.sums = federated.sums;
  result.least = federated.least;
  result.most = federated.most;
  console.note(
      "5. Held-out text: bits per byte of every model (rows) on every client's text (columns); less is "
      "better");
  compare_with_clients(stage, federated, ours.sum, console);
  return result;
}

Result<std::string> sample(const JobSpec& job, const std::vector<float>& parameters) {
  const auto ops = make_cpu_ops();
  COVEY_TRY(const auto model, Model::create(job.model, 1, *ops));
  std::copy(parameters.begin(), parameters.end(), model->parameters().begin());
  return kSamplePrompt + generate(*model, job.model, kSamplePrompt, kSampleBytes, kSampleTemperature,
                                  Random(job.seed).split("sample"));
}

void say_where(const DemoOptions& options, const Stage& stage, Console& console) {
  const std::string& folder = options.folder;
  std::string simulator = "covey-sim";
  if (const auto programs = find_programs())
    simulator = std::filesystem::relative(programs->folder).string() + "/covey-sim";
  console.note("");
  console.note("The checkpoint: " + folder + "/model/model.safetensors");
  console.note("The curves:     " + folder + "/report.html");
  console.note("The same job in the simulator (it deals the files anew, so clients' texts are mixed):");
  console.note("  " + simulator + " run " + folder + "/job.toml --clients " +
               std::to_string(stage.clients.size()) + " --seed " + std::to_string(stage.job.seed) +
               " --data " + folder + "/corpora");
}

Result<int> demonstrate(const DemoOptions& options, Console& console) {
  SystemClock clock;
  const Instant begin = clock.now();
  COVEY_TRY_VOID(find_programs());
  COVEY_TRY_VOID(fresh_demo_folder(options.folder));
  COVEY_TRY(const Stage stage, prepare(options, console));
  COVEY_TRY(const Trained federated, train_federated(options, stage, console));
  const std::uint64_t steps = std::uint64_t{stage.job.rounds} * stage.job.train.local_steps;
  console.note("4. Alone: one model per client, " + text_of_count(steps) +
               " steps each on its own text, from the same start with the same optimizer and schedule");
  COVEY_TRY(const auto alone,
            train_all_alone({stage.job, federated.keys, federated.seconds}, stage.data, console));
  COVEY_TRY(DemoResult result, evaluate(stage, federated, alone, console));
  console.note("");
  for (const std::string& line : result_table(result).lines()) console.note(line);
  console.note("");
  for (const std::string& line : verdict(result)) console.note(line);
  console.note("");
  for (const std::string& line : protection(result)) console.note(line);
  COVEY_TRY(const std::string text, sample(stage.job, federated.parameters));
  console.note("");
  console.note(std::string("What the federated model makes of \"") + kSamplePrompt + "\":");
  console.note("  | " + indented(printable(text), "  | "));
  say_where(options, stage, console);
  result.seconds = seconds(clock.now() - begin);
  const JsonObject summary = summary_json(result);
  COVEY_TRY_VOID(write_file(options.folder + "/summary.json", bytes_of(summary.text() + "\n")));
  console.note("The figures:    " + options.folder + "/summary.json; all of it took " +
               duration_text(result.seconds));
  console.object(summary);
  return kExitOk;
}

}  // namespace

Result<int> demo_command(const DemoOptions& options, Console& console) {
  // Trainings side by side share the cores as the clients did; the library reads this once.
  ::setenv("OMP_NUM_THREADS", "1", 1);
  const StopSignals signals([] {});
  auto code = demonstrate(options, console);
  if (!StopSignals::interrupted()) return code;
  console.warn("demo: interrupted; all of its processes have ended");
  return kExitInterrupted;
}

}  // namespace covey::cli
