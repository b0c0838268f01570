#include "coordinator/operator_desk.h"

#include <algorithm>

#include "coordinator/job_floor.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

OperatorAnswer text_answer(Result<std::string> result) {
  if (!result) return result.error();
  return Done{std::move(*result)};
}

}  // namespace

OperatorDesk::OperatorDesk(Services services, Jobs& jobs, KeyKeeper& keys) : services_(services), jobs_(jobs), keys_(keys) {}

void OperatorDesk::know(const Job& job) { nonces_[{job.row.submitter, job.row.nonce}] = job.id; }

void OperatorDesk::reply(const Link& to, std::uint64_t id, OperatorAnswer answer) {
  if (auto* error = std::get_if<Error>(&answer))
    error->message = shortened(std::move(error->message), kErrorTextBytesMax);
  if (auto* done = std::get_if<Done>(&answer)) done->text = shortened(std::move(done->text), kErrorTextBytesMax);
  services_.out.send(to, OperatorReply{id, std::move(answer)});
}

// A refusal promises nothing: it does not wait for the disk.
void OperatorDesk::refuse(const Link& to, std::uint64_t id, Error error, Instant now) {
  if (services_.registry.may_log_refusal(to.peer, now))
    services_.out.log(LogLevel::kWarning, "operator_refused",
                      {{"node", services_.registry.name_of(to.peer)}, {"reason", error.message}});
  error.message = shortened(std::move(error.message), kErrorTextBytesMax);
  services_.out.say(to, OperatorReply{id, std::move(error)});
}

void OperatorDesk::request(const Link& from, const OperatorRequest& request, Instant now) {
  const auto allowed = services_.registry.authorise(from.peer, Role::kOperator, now);
  if (!allowed) return refuse(from, request.id, allowed.error(), now);
  const Node* who = *allowed;
  const auto answer_now = [&](Answer answer) {
    if (answer) reply(from, request.id, std::move(*answer));
  };
  keys_.tell_operator(from);
  if (const auto* prepare = std::get_if<PrepareKey>(&request.verb)) return keys_.prepare(from, request.id, *prepare);
  if (const auto* change = std::get_if<RegisterKeyChange>(&request.verb))
    return keys_.register_change(from, request.id, change->change, now);
  if (const auto* submit = std::get_if<SubmitJob>(&request.verb))
    return answer_now(on(*who, from, request.id, *submit));
  if (const auto* list = std::get_if<ListAudit>(&request.verb))
    return answer_now(read_chain(from, request.id, kAuditTable, list->after));
  if (const auto* list = std::get_if<ListLedger>(&request.verb))
    return answer_now(read_chain(from, request.id, kLedgerTable, list->after));
  reply(from, request.id, answer(*who, request.verb, now));
}

OperatorAnswer OperatorDesk::answer(const Node& who, const OperatorVerb& verb, Instant now) {
  if (const auto* list = std::get_if<ListJobs>(&verb)) return on(*list);
  if (const auto* show = std::get_if<ShowJob>(&verb)) return on(*show);
  if (const auto* show = std::get_if<ShowClients>(&verb)) return on(*show);
  if (const auto* show = std::get_if<ShowConfig>(&verb)) return on(*show);
  if (const auto* stop = std::get_if<StopJob>(&verb)) {
    const auto found = job_of(stop->job);
    if (!found) return found.error();
    return text_answer(jobs_.at(stop->job)->stop(now, who));
  }
  if (const auto* list = std::get_if<ListNodes>(&verb)) return NodeRows{services_.registry.page(list->after)};
  if (const auto* token = std::get_if<RegisterToken>(&verb))
    return text_answer(services_.registry.register_token(token->delegation, who.summary.key, now));
  if (const auto* renewal = std::get_if<RegisterRenewal>(&verb))
    return text_answer(services_.registry.register_renewal(renewal->renewal, who.summary.key, now));
  if (const auto* list = std::get_if<ListUnvouched>(&verb)) return CertificateRows{services_.registry.unvouched(list->after)};
  if (const auto* issue = std::get_if<IssueCredentials>(&verb))
    return text_answer(services_.registry.issue(issue->credentials, who.summary.key, now));
  if (std::holds_alternative<ShowWithdrawals>(verb)) return WithdrawalsRow{services_.registry.withdrawals()};
  if (const auto* list = std::get_if<RegisterWithdrawals>(&verb))
    return text_answer(services_.registry.register_withdrawals(list->list, who.summary.key, now));
  if (const auto* revoke = std::get_if<RevokeNode>(&verb))
    return text_answer(services_.registry.revoke(revoke->node, who.summary.key, now));
  const auto& read = std::get<ReadJournal>(verb);
  return JournalRows{services_.journal.page(read.job, read.after)};
}

// ---- reading

Result<const JobRunner*> OperatorDesk::job_of(JobId id) const {
  const auto at = jobs_.find(id);
  if (at != jobs_.end()) return at->second.get();
  return unexpected(ErrorCode::kNotFound,
                    "there is no job " + std::to_string(id) +
                        (jobs_.empty() ? "; none was submitted yet"
                                       : "; the latest is " + std::to_string(jobs_.rbegin()->first)));
}

OperatorAnswer OperatorDesk::on(const ListJobs& verb) const {
  JobRows rows;
  std::size_t bytes = 0;
  for (auto at = jobs_.upper_bound(verb.after); at != jobs_.end() && rows.rows.size() < kPageRowsMax; ++at) {
    JobSummary row = at->second->summary();
    bytes += row.text.size();
    if (!rows.rows.empty() && bytes > kJobsPageTextBytesMax) break;
    rows.rows.push_back(std::move(row));
  }
  return rows;
}

OperatorAnswer OperatorDesk::on(const ShowJob& verb) const {
  const auto found = job_of(verb.job);
  if (!found) return found.error();
  const Job& job = (*found)->job();
  JobDetail detail{(*found)->summary(), job.config, {}};
  for (const RoundMetrics& metrics : job.metrics) {
    if (metrics.round <= verb.after_round) continue;
    if (detail.metrics.size() == kPageRowsMax) break;
    detail.metrics.push_back(metrics);
  }
  return detail;
}

OperatorAnswer OperatorDesk::on(const ShowClients& verb) const {
  const auto found = job_of(verb.job);
  if (!found) return found.error();
  const Job& job = (*found)->job();
  if (job.spec.privacy.secure_aggregation)
    return Error{ErrorCode::kUnsupported, "job " + std::to_string(verb.job) +
                                              " aggregates securely: the coordinator knows the sums over a round's clients (`covey "
                                              "watch`), and no client's own figures"};
  const auto at = job.clients.find(verb.round);
  if (at == job.clients.end())
    return Error{ErrorCode::kNotFound, "job " + std::to_string(verb.job) + " has no clients' figures of round " +
                                           std::to_string(verb.round) +
                                           "; a round's are there once it is committed, and the oldest go in large jobs"};
  ClientRows rows;
  for (std::size_t i = verb.after; i < at->second.size() && rows.rows.size() < kPageRowsMax; ++i)
    rows.rows.push_back(at->second[i]);
  return rows;
}

OperatorAnswer OperatorDesk::on(const ShowConfig& verb) const {
  const auto found = job_of(verb.job);
  if (!found) return found.error();
  const Job& job = (*found)->job();
  if (job.models.empty())
    return Error{ErrorCode::kUnavailable, "job " + std::to_string(verb.job) + " is " + name_of(job.summary.state) +
                                              "; its configuration is published when it has started"};
  return JobDetail{(*found)->summary(), job.config, {}};  // published since its first model
}

// What is durable, and nothing else: it is read from the disk.
OperatorDesk::Answer OperatorDesk::read_chain(const Link& from, std::uint64_t id, std::string_view table, std::uint64_t after) {
  if (readings_.size() >= kReadingsMax)
    return Error{ErrorCode::kUnavailable, std::to_string(kReadingsMax) + " pages of records are being read; try again"};
  const Ticket ticket = services_.out.next_ticket();
  readings_[ticket] = Reading{from, id};
  services_.out.now(StartWork{ticket, ReadChain{std::string(table), after}});
  return std::nullopt;
}

std::optional<OperatorDesk::Reading> OperatorDesk::take_reading(Ticket ticket) {
  const auto at = readings_.find(ticket);
  if (at == readings_.end()) return std::nullopt;
  const Reading reading = at->second;
  readings_.erase(at);
  return reading;
}

bool OperatorDesk::work_done(const WorkDone& event, Instant now) {
  const auto reading = take_reading(event.ticket);
  if (!reading) return false;
  // The operator may have been revoked while we read.
  if (services_.registry.authorise(reading->from.peer, Role::kOperator, now))
    reply(reading->from, reading->request, std::get<ChainRows>(event.value));
  return true;
}

bool OperatorDesk::work_failed(const WorkFailed& event) {
  const auto reading = take_reading(event.ticket);
  if (!reading) return false;
  reply(reading->from, reading->request, in_context("the records cannot be read", event.error));
  return true;
}

// ---- submission

OperatorDesk::Answer OperatorDesk::on(const Node& who, const Link& from, std::uint64_t id, const SubmitJob& verb) {
  if (const auto known = nonces_.find({who.summary.key, verb.nonce}); known != nonces_.end())
    return Submitted{known->second};
  if (verb.job.size == 0 || verb.job.size > kJobTomlBytesMax)
    return Error{ErrorCode::kInvalidArgument, "the job file has " + std::to_string(verb.job.size) +
                                                  " bytes; it must have from 1 to " + std::to_string(kJobTomlBytesMax)};
  for (auto& [ticket, submission] : submissions_)
    if (submission.from.peer == from.peer && submission.verb == verb) {  // asked again: answer the latest
      submission.from = from;
      submission.request = id;
      return std::nullopt;
    }
  if (submissions_.size() >= kSubmissionsMax)
    return Error{ErrorCode::kUnavailable, std::to_string(kSubmissionsMax) + " job files are being fetched; try again"};
  const auto pending = std::count_if(jobs_.begin(), jobs_.end(), [](const auto& entry) {
    return entry.second->job().summary.state == JobState::kPending;
  });
  if (static_cast<std::size_t>(pending) >= kPendingJobsMax)
    return Error{ErrorCode::kResourceExhausted, std::to_string(pending) + " jobs wait already; stop some first"};
  const Ticket ticket = services_.out.next_ticket();
  submissions_[ticket] = Submission{from, id, verb};
  services_.blobs.hold(verb.job.id);
  services_.out.now(FetchBlob{ticket, from.peer, verb.job});
  return std::nullopt;
}

Result<void> OperatorDesk::load_floor(ByteSpan row) {
  COVEY_TRY(floor_, job_floor_of_value(row));
  return {};
}

OperatorAnswer OperatorDesk::submit(const Submission& submission, const Bytes& toml, Instant now) {
  JobSpecRow row{submission.verb.nonce, submission.from.peer, std::string(text_of(toml))};
  const JobId id = std::max(floor_, jobs_.empty() ? 1 : jobs_.rbegin()->first + 1);
  if (const auto acceptable = parse_job(row.toml); !acceptable) return acceptable.error();
  auto job = make_job(id, std::move(row));
  if (!job) return job.error();
  if (const auto possible = check_secure(job->spec); !possible) return possible.error();
  if (const auto fits = check_memory(job->spec, services_.memory_bytes_max); !fits) return fits.error();
  if (const auto fits = check_caps(job->spec, services_.job_caps); !fits) return fits.error();
  auto runner = std::make_unique<JobRunner>(services_, std::move(*job));
  runner->submit(now);
  know(runner->job());
  jobs_[id] = std::move(runner);
  return Submitted{id};
}

bool OperatorDesk::blob_fetched(const BlobFetched& event, Instant now) {
  const auto at = submissions_.find(event.ticket);
  if (at == submissions_.end()) return false;
  const Submission submission = at->second;
  submissions_.erase(at);
  // The operator may have been revoked while we fetched.
  if (services_.registry.authorise(submission.from.peer, Role::kOperator, now))
    reply(submission.from, submission.request, submit(submission, event.content, now));
  services_.blobs.drop(submission.verb.job.id);  // its text is in the job's row
  return true;
}

bool OperatorDesk::blob_failed(const BlobFailed& event) {
  const auto at = submissions_.find(event.ticket);
  if (at == submissions_.end()) return false;
  reply(at->second.from, at->second.request, in_context("the job file did not arrive", event.error));
  services_.blobs.drop(at->second.verb.job.id);
  submissions_.erase(at);
  return true;
}

}  // namespace covey
