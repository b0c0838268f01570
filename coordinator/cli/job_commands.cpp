// covey run, list, watch, stop, log.
#include "coordinator/cli/commands.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/session.h"
#include "coordinator/cli/vouching.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/protocol/limits.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr std::size_t kNoteColumns = 48;

std::string job_text(JobId job) { return std::to_string(job); }

// " --home X", for commands that we tell the user to type.
std::string home_flag(const std::string& home) { return home == default_home() ? "" : " --home " + home; }

std::string resume_hint(JobId job, const std::string& home) {
  const std::string rest = " " + job_text(job) + home_flag(home) + "`";
  return "Job " + job_text(job) + " goes on. Watch it again with `covey watch" + rest +
         "; stop it with `covey stop" + rest + ".";
}

void say_choice(const ChosenJob& chosen, Console& console) {
  if (!chosen.why.empty())
    console.note("job " + job_text(chosen.summary.job) + " (" + one_line(chosen.summary.name) + "), " +
                 chosen.why);
}

Result<JobSpec> read_job(const std::string& path) {
  COVEY_TRY(const Bytes text, read_file(path, kJobTomlBytesMax));
  auto spec = parse_job(text_of(text));
  if (!spec) return unexpected(in_context(path, spec.error()));
  return spec;
}

// Under secure aggregation clients that masked for a job refuse a later one that begins with the same model: the
// second sum could be subtracted from the first. Looks at the newest of the jobs that asked anyone.
Result<void> warn_of_twin(Session& session, const std::string& path, const JobSpec& spec, Console& console) {
  constexpr int kLookedAt = 50;
  if (!spec.privacy.secure_aggregation) return {};
  COVEY_TRY(const auto jobs, session.jobs());
  int looked_at = 0;
  for (auto job = jobs.rbegin(); job != jobs.rend() && looked_at < kLookedAt; ++job) {
    if (!job->secure || (job->round == 0 && job->attempt == 0)) continue;
    ++looked_at;
    const auto earlier = session.spec_of(job->job);
    if (!earlier) continue;  // no more than a warning hangs on it
    // Without adapters, a start gives the same model whatever the seed.
    const bool by_seed = spec.start.empty() || spec.model.lora.rank > 0;
    if ((by_seed && earlier->seed != spec.seed) || earlier->model != spec.model || earlier->start != spec.start) continue;
    console.warn("Job " + job_text(job->job) + " (" + one_line(job->name) + ", " + name_of(job->state) +
                 ") began with the same model: clients that masked an update for it refuse this job, which then waits and fails. " +
                 (by_seed ? "Change `seed` in " + path + " (now " + std::to_string(spec.seed) + ")."
                          : "Train adapters in " + path + " ([model.lora]), whose beginning the seed gives."));
    return {};
  }
  return {};
}

Result<JobId> submit(Session& session, const JobSpec& spec, const std::string& coordinator, Console& console) {
  SystemRandom random;
  std::uint64_t nonce = 0;
  random.fill({reinterpret_cast<std::uint8_t*>(&nonce), sizeof nonce});
  auto job = session.submit(to_toml(spec), nonce);
  if (job || job.error().code != ErrorCode::kUnavailable) return job;
  console.note(coordinator + " does not answer; asking once more");
  COVEY_TRY_VOID(session.reconnect());  // the answer may have been lost; the nonce submits once
  return session.submit(to_toml(spec), nonce);
}

}  // namespace

Result<int> run_command(const RunOptions& options, Console& console) {
  COVEY_TRY(const JobSpec spec, read_job(options.job_file));
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  if (!options.no_vouch) COVEY_TRY_VOID(vouch_for_job(*session, options.home, spec, console));
  COVEY_TRY_VOID(warn_of_twin(*session, options.job_file, spec, console));
  const CoordinatorAddress& where = session->membership().coordinator;
  const std::string coordinator = "the coordinator at " + where.host + ":" + std::to_string(where.control_port);
  console.note("handing the job to " + coordinator + ", and waiting for its answer");
  COVEY_TRY(const JobId job, submit(*session, spec, coordinator, console));
  console.object(JsonObject()
                     .add("event", "submitted")
                     .add("job", job)
                     .add("name", spec.name)
                     .add("rounds", spec.rounds));
  console.line("job " + job_text(job) + " (" + spec.name + ") submitted: " + job_text(spec.rounds) +
               " rounds");
  if (options.detach) {
    console.line("Watch it with `covey watch " + job_text(job) + home_flag(options.home) + "`.");
    return kExitOk;
  }
  const StopSignals signals([] {});
  COVEY_TRY(const Followed followed,
            follow_job(*session, {job, spec, resume_hint(job, options.home), {}}, console));
  if (followed.summary.state == JobState::kFinished)
    console.line("Get the model with `covey pull " + job_text(job) + home_flag(options.home) +
                 "`, the curves with `covey report " + job_text(job) + home_flag(options.home) + "`.");
  return exit_code_of(followed);
}

Result<int> list_command(const std::string& home, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(home, blobs));
  COVEY_TRY(const auto jobs, session->jobs());
  if (jobs.empty()) console.line("No job was submitted yet; submit one with `covey run job.toml`.");
  const Instant now = SystemClock().now();
  Table table({"JOB", "NAME", "STATE", "ROUND", "DELIVERED", "SUBMITTED (UTC)", "TIME", "NOTE"},
              {0, 3, 4, 6});
  std::vector<std::string> reasons;  // too long for a column: whole, below the table
  for (const JobSummary& job : jobs) {
    console.object(to_json(job));
    const bool over = is_over(job.state);
    table.add({job_text(job.job), job.name, name_of(job.state),
               job_text(job.round) + "/" + job_text(job.rounds),
               over || job.cohort == 0 ? "" : job_text(job.delivered) + "/" + job_text(job.cohort),
               date_text(job.submitted), duration_text(seconds((over ? job.ended : now) - job.submitted)),
               job.text.size() > kNoteColumns ? "see below"
               : job.text.empty() && job.secure ? "secure aggregation" + phase_text(job)
                                                : job.text});
    if (job.text.size() > kNoteColumns) reasons.push_back("Job " + job_text(job.job) + ": " + one_line(job.text));
  }
  if (!table.empty()) console.table(table);
  for (const std::string& reason : reasons) console.line(reason);
  return kExitOk;
}

Result<int> watch_command(const JobOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job));
  say_choice(chosen, console);
  const StopSignals signals([] {});
  COVEY_TRY(const Followed followed,
            follow_job(*session, {chosen.summary.job, {}, resume_hint(chosen.summary.job, options.home), {}},
                       console));
  return exit_code_of(followed);
}

Result<int> stop_command(const JobOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job));
  say_choice(chosen, console);
  COVEY_TRY(const Done done, session->ask_for<Done>(StopJob{chosen.summary.job}));
  console.object(JsonObject().add("event", "stop").add("job", chosen.summary.job).add("text", done.text));
  console.line(one_line(done.text));
  return kExitOk;
}

Result<int> log_command(const JournalOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  JobId job = 0;  // of all
  if (!options.job.empty()) {
    COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job));
    say_choice(chosen, console);
    job = chosen.summary.job;
  }
  const StopSignals signals([] {});
  std::uint64_t after = 0;
  bool lost = false;
  bool any = false;
  for (;;) {
    auto entries = session->journal(job, after);
    if (!entries && !(options.follow && entries.error().code == ErrorCode::kUnavailable))
      return unexpected(entries.error());
    if (!entries) {
      if (!std::exchange(lost, true))
        console.warn("The coordinator does not answer; trying again until Ctrl-C.");
      COVEY_TRY_VOID(session->reconnect());
    } else {
      lost = false;
      for (const JournalEntry& entry : *entries) {
        console.object(to_json(entry));
        console.line(date_text(entry.time) + "  " +
                     (entry.job == 0 ? std::string() : "job " + job_text(entry.job) + ": ") +
                     one_line(entry.text));
        after = entry.sequence;
        any = true;
      }
    }
    if (!options.follow || console.unread()) break;
    if (!wait_or_interrupt(1.0)) return kExitOk;
  }
  if (!any) console.line("The journal is empty.");
  return kExitOk;
}

}  // namespace covey::cli
