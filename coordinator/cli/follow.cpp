#include "coordinator/cli/follow.h"

#include <set>

#include "coordinator/cli/job_view.h"
#include "core/base/clock.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"

namespace covey::cli {
namespace {

constexpr double kPollSeconds = 0.4;
constexpr Duration kPatience = std::chrono::minutes(5);
constexpr Duration kDoorPatience = std::chrono::seconds(30);  // a coordinator that starts listens before it has read who its members are

class Follower {
 public:
  Follower(Session& session, const FollowRequest& request, Console& console)
      : session_(session), request_(request), console_(console) {
    if (request.spec) quality_ = quality_of(*request.spec);
  }

  Result<Followed> run() {
    for (;;) {
      if (StopSignals::interrupted() || console_.unread()) return interrupted();
      if (request_.check) COVEY_TRY_VOID(request_.check());
      auto detail = session_.job(request_.job, seen_);
      if (!detail) {
        COVEY_TRY_VOID(outlast(detail.error()));
      } else {
        lost_since_.reset();
        COVEY_TRY_VOID(show(*detail));
        if (is_over(summary_.state)) return finished();
      }
      wait_or_interrupt(kPollSeconds);
    }
  }

 private:
  // The coordinator does not answer: it may be restarting.
  Result<void> outlast(const Error& error) {
    const bool at_the_door = !first_ && error.code == ErrorCode::kPermissionDenied;  // it knew us before
    if ((error.code != ErrorCode::kUnavailable && !at_the_door) || StopSignals::interrupted()) {
      if (StopSignals::interrupted()) return {};
      return unexpected(error);
    }
    const Instant now = clock_.now();
    if (!lost_since_) {
      lost_since_ = now;
      console_.warn("The coordinator does not answer; trying again for " + duration_text(seconds(kPatience)) +
                    ". A restarted one goes on with the same round.");
    }
    if (now - *lost_since_ > (at_the_door ? kDoorPatience : kPatience)) return unexpected(error);
    if (auto dialled = session_.reconnect(); !dialled) return dialled;
    return {};
  }

  // Not known until the job has started; then it says what the figures mean.
  Result<void> learn_quality() {
    if (quality_) return {};
    auto spec = session_.spec_of(request_.job);
    if (!spec) return unexpected(spec.error());
    quality_ = quality_of(*spec);
    return {};
  }

  Result<void> show(const JobDetail& detail) {
    const Instant now = clock_.now();
    if (!first_ && detail.summary.state != summary_.state) announce(detail.summary);
    if (detail.summary.round != summary_.round || detail.summary.attempt != summary_.attempt || first_)
      round_since_ = now;
    if (detail.summary.round != summary_.round) said_.clear();
    if (first_) announce(detail.summary);
    say_reason(detail.summary);
    summary_ = detail.summary;
    first_ = false;
    for (const RoundMetrics& metrics : detail.metrics) {
      if (const auto learned = learn_quality(); !learned) return outlast(learned.error());
      if (!std::exchange(headed_, true)) console_.line(rounds_head(*quality_));
      console_.object(to_json(metrics, request_.job, summary_.rounds));
      console_.line(round_line(*quality_, metrics, summary_.rounds));
      seen_ = metrics.round;
    }
    if (!is_over(summary_.state)) console_.progress(round_progress(summary_, seconds(now - round_since_)));
    return {};
  }

  void announce(const JobSummary& summary) {
    if (is_over(summary.state)) return;
    console_.object(JsonObject()
                        .add("event", "state")
                        .add("job", summary.job)
                        .add("state", name_of(summary.state))
                        .add("text", summary.text)
                        .add("secure", summary.secure));
    if (first_) console_.line(protection_text(summary));
    if (summary.state == JobState::kPending && summary.text.empty()) console_.line("waits for its turn");
    if (!summary.text.empty()) said_.insert(reason_kind(summary.text));  // the object above has it
    if (!summary.text.empty()) console_.line(reason_line(summary));
  }

  // Why nothing happens: once for each reason in a round, whole, whether or not there is a moving line.
  void say_reason(const JobSummary& summary) {
    if (is_over(summary.state) || summary.text.empty()) return;
    if (!said_.insert(reason_kind(summary.text)).second) return;
    console_.object(JsonObject()
                        .add("event", "waiting")
                        .add("job", summary.job)
                        .add("round", summary.round + 1)
                        .add("text", summary.text));
    console_.line(reason_line(summary));
  }

  Followed finished() {
    console_.progress("");
    if (headed_)
      console_.line("(1) of the model that the round started from; \"final\" is the finished model");
    console_.object(JsonObject()
                        .add("event", "end")
                        .add("job", summary_.job)
                        .add("state", name_of(summary_.state))
                        .add("round", summary_.round)
                        .add("rounds", summary_.rounds)
                        .add("seconds", seconds(summary_.ended - summary_.submitted))
                        .add("text", summary_.text));
    console_.line(state_line(summary_, clock_.now()));
    return {summary_, false};
  }

  Followed interrupted() {
    console_.progress("");
    if (!request_.resume_hint.empty()) console_.warn(request_.resume_hint);
    return {summary_, true};
  }

  Session& session_;
  const FollowRequest& request_;
  Console& console_;
  SystemClock clock_;
  std::optional<Quality> quality_;
  JobSummary summary_;
  bool first_ = true;
  bool headed_ = false;
  std::set<std::string> said_;  // kinds of reasons, of the round in progress
  std::uint32_t seen_ = 0;  // rounds shown
  Instant round_since_;
  std::optional<Instant> lost_since_;
};

}  // namespace

Result<Followed> follow_job(Session& session, const FollowRequest& request, Console& console) {
  return Follower(session, request, console).run();
}

int exit_code_of(const Followed& followed) {
  if (followed.interrupted) return kExitInterrupted;
  return followed.summary.state == JobState::kFinished ? kExitOk : kExitFailed;
}

}  // namespace covey::cli
