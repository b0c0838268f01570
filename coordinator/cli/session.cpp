#include "coordinator/cli/session.h"

#include <charconv>

#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/protocol/job_fit.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/service/file_limit.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

constexpr Duration kAnswerTimeout = std::chrono::seconds(10);
constexpr std::size_t kUnvouchedMax = 1'000'000;
constexpr int kSubmitTries = 4;
constexpr Duration kOtherAfter = std::chrono::seconds(3);  // of a key that changes: then its other place
constexpr Duration kFetchTimeout = std::chrono::seconds(60);  // and a second for every 100 kB
constexpr std::uint64_t kFetchBytesPerSecond = 100'000;

Result<Membership> operator_of(const std::string& home) {
  const std::string folder = operator_folder(home);
  COVEY_TRY(auto membership, load_membership(folder));
  if (membership) return std::move(*membership);
  if (file_exists(authority_folder(home)))
    return unexpected(ErrorCode::kNotFound,
                      folder + " holds no operator; copy it here from the folder that `covey init` made: authority/ signs, "
                               "operator/ carries it to the coordinator");
  return unexpected(ErrorCode::kNotFound, folder +
                                              " holds no operator; run `covey init` where the coordinator is "
                                              "to run, or name its folder with --home or COVEY_HOME");
}

// All pages of a list; each begins after the rows so far. A page with long texts has fewer rows, so only an
// empty one is the end.
template <class Rows, class Row, class Ask>
Result<std::vector<Row>> all_pages(Ask ask) {
  std::vector<Row> all;
  for (;;) {
    COVEY_TRY(Rows page, ask(all));
    if (page.rows.empty()) return all;
    for (Row& row : page.rows) all.push_back(std::move(row));
  }
}

// Of one connection; below a dozen the network's library ends the process.
constexpr std::uint64_t kFilesNeeded = 32;

}  // namespace

Session::Session(std::string folder, Membership membership, CurveKey key, BlobStore& blobs)
    : folder_(std::move(folder)), blobs_(blobs), membership_(std::move(membership)), key_(std::move(key)) {}

Result<std::unique_ptr<Session>> Session::open(const std::string& home, BlobStore& blobs) {
  COVEY_TRY_VOID(raise_file_limit_to(kFilesNeeded));
  COVEY_TRY(Membership membership, operator_of(home));
  COVEY_TRY(NodeKeys keys, load_keys(operator_folder(home)));
  std::unique_ptr<Session> session(new Session(operator_folder(home), std::move(membership), std::move(keys.curve), blobs));
  COVEY_TRY(session->change_, load_key_change(session->folder_, session->membership_));
  if (session->change_) session->membership_.coordinator = moved_to(session->membership_.coordinator, session->change_->after);
  COVEY_TRY_VOID(session->reconnect());
  return session;
}

Result<void> Session::reconnect() {
  caller_.reset();
  COVEY_TRY(caller_, make_caller({membership_.coordinator, change_, kOtherAfter}, key_, blobs_));
  return {};
}

// The coordinator does not say why it does not let a key in; our own certificate may.
Error Session::explained(Error error) const {
  const Instant end = membership_.certificate.delegation.members_until;
  if (error.code != ErrorCode::kPermissionDenied || SystemClock().now() < end) return error;
  error.message += "; by its certificate this operator was a member until " + iso8601(end) +
                   ": unless it was renewed since, run `covey renew --offline` with the authority's key at hand";
  return error;
}

Result<OperatorAnswer> Session::ask(OperatorVerb verb) {
  const std::uint64_t id = next_request_++;
  auto said = caller_->call(OperatorRequest{id, std::move(verb)}, kAnswerTimeout);
  take_note();
  if (!said) return unexpected(explained(said.error()));
  Message reply = std::move(*said);
  auto* const answer = std::get_if<OperatorReply>(&reply);
  if (answer == nullptr)
    return unexpected(ErrorCode::kInternal, std::string("the coordinator answered a command with ") +
                                                name_of(reply) +
                                                "; install the same version of Covey on both sides");
  if (const auto* error = std::get_if<Error>(&answer->answer)) return unexpected(*error);
  return std::move(answer->answer);
}

Result<void> Session::follow(const KeyChange& change) {
  if (change_ && change_->serial >= change.serial) return {};
  COVEY_TRY([[maybe_unused]] const bool kept, save_key_change(folder_, membership_, change));
  change_ = change;
  membership_.coordinator = moved_to(membership_.coordinator, change.after);
  return {};
}

// Of a change that another operator made. The connection that there is stays; the next command dials the
// new key. One that cannot be kept is told again with the next answer.
void Session::take_note() {
  if (const auto told = caller_->key_change()) (void)follow(*told);
}

Result<std::vector<JobSummary>> Session::jobs() {
  return all_pages<JobRows, JobSummary>(
      [&](const auto& sofar) { return ask_for<JobRows>(ListJobs{sofar.empty() ? 0 : sofar.back().job}); });
}

Result<std::vector<NodeSummary>> Session::nodes() {
  return all_pages<NodeRows, NodeSummary>([&](const auto& sofar) {
    return ask_for<NodeRows>(ListNodes{static_cast<std::uint32_t>(sofar.size())});
  });
}

Result<std::vector<Certificate>> Session::unvouched() {
  std::vector<Certificate> all;
  for (;;) {
    COVEY_TRY(CertificateRows page, ask_for<CertificateRows>(ListUnvouched{all.empty() ? PeerKey{} : all.back().curve}));
    for (Certificate& certificate : page.rows) {
      const bool follows = all.empty() || all.back().curve < certificate.curve;
      if (!follows || all.size() == kUnvouchedMax)
        return unexpected(ErrorCode::kCorrupted, follows ? "the coordinator names more than " + std::to_string(kUnvouchedMax) + " clients"
                                                         : "the coordinator gave its clients' certificates out of order");
      all.push_back(std::move(certificate));
    }
    if (page.rows.size() < kVouchPageRowsMax) return all;
  }
}

Result<JobDetail> Session::job(JobId id, std::uint32_t after_round) {
  COVEY_TRY(JobDetail detail, ask_for<JobDetail>(ShowJob{id, after_round}));
  std::size_t page = detail.metrics.size();
  while (page == kPageRowsMax) {
    COVEY_TRY(JobDetail more, ask_for<JobDetail>(ShowJob{id, detail.metrics.back().round}));
    page = more.metrics.size();
    detail.summary = std::move(more.summary);
    detail.metrics.insert(detail.metrics.end(), more.metrics.begin(), more.metrics.end());
  }
  return detail;
}

Result<std::vector<ClientMetrics>> Session::clients_of(JobId id, std::uint32_t round) {
  return all_pages<ClientRows, ClientMetrics>([&](const auto& sofar) {
    return ask_for<ClientRows>(ShowClients{id, round, static_cast<std::uint32_t>(sofar.size())});
  });
}

Result<std::vector<JournalEntry>> Session::journal(JobId id, std::uint64_t after) {
  return all_pages<JournalRows, JournalEntry>([&](const auto& sofar) {
    return ask_for<JournalRows>(ReadJournal{id, sofar.empty() ? after : sofar.back().sequence});
  });
}

Result<void> Session::add_page(std::vector<ChainRecord>& all, ChainRows page) {
  for (ChainRecord& record : page.rows) {
    if (record.sequence != all.size() + 1)
      return unexpected(ErrorCode::kCorrupted, "the coordinator gave record " + std::to_string(record.sequence) + " of a chain after record " +
                                                   std::to_string(all.size()));
    all.push_back(std::move(record));
  }
  return {};
}

Result<JobSpec> Session::spec_of(JobId id) {
  COVEY_TRY(const JobDetail detail, ask_for<JobDetail>(ShowConfig{id}));
  if (detail.config.size > kJobTomlBytesMax)
    return unexpected(ErrorCode::kInvalidMessage, "the configuration of job " + std::to_string(id) + " has " +
                                                      std::to_string(detail.config.size) +
                                                      " bytes, more than the " +
                                                      std::to_string(kJobTomlBytesMax) + " allowed");
  COVEY_TRY(const Bytes toml, fetch(detail.config, {}));
  return parse_accepted_job(text_of(toml));
}

Result<JobId> Session::submit(const std::string& toml, std::uint64_t nonce) {
  COVEY_TRY(const BlobRef blob, blobs_.put(bytes_of(toml)));
  // Another command of this operator may hold the way on which the coordinator fetches the job: the
  // nonce makes it safe to ask again. Afterwards a fresh connection leaves that way to others.
  for (int tries = 1;; ++tries) {
    caller_->publish(blob);
    const auto submitted = ask_for<Submitted>(SubmitJob{nonce, blob});
    if (!submitted && (submitted.error().code != ErrorCode::kNotFound || tries == kSubmitTries))
      return unexpected(submitted.error());
    COVEY_TRY_VOID(reconnect());
    if (submitted) return submitted->job;
  }
}

Result<Bytes> Session::fetch(const BlobRef& blob, std::function<void(std::uint64_t)> progress) {
  const Duration timeout = kFetchTimeout + std::chrono::seconds(blob.size / kFetchBytesPerSecond);
  return caller_->fetch(
      blob, timeout, progress ? std::move(progress) : [](std::uint64_t) {});
}

Result<JobId> job_number(const std::string& text) {
  JobId job = 0;
  const char* const end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, job);
  if (error == std::errc{} && read == end && job != 0) return job;
  return unexpected(ErrorCode::kInvalidArgument,
                    setting_text(text.substr(0, kNameBytesMax)) + " is no job's number: a whole number from 1, as in `covey list`");
}

Result<ChosenJob> choose_job(Session& session, const std::string& wanted) {
  const bool number = !wanted.empty() && wanted.find_first_not_of("0123456789") == std::string::npos;
  if (number) {
    COVEY_TRY(const JobId job, job_number(wanted));
    COVEY_TRY(JobDetail detail, session.ask_for<JobDetail>(ShowJob{job, ~std::uint32_t{0}}));
    return ChosenJob{std::move(detail.summary), ""};
  }
  COVEY_TRY(auto jobs, session.jobs());
  if (!wanted.empty()) {
    std::erase_if(jobs, [&](const JobSummary& job) { return job.name != wanted; });
    if (jobs.empty())
      return unexpected(ErrorCode::kNotFound, "no job is called " + setting_text(wanted.substr(0, kNameBytesMax)) +
                                                  "; give a number or a name, as in `covey list`");
    const std::string why = jobs.size() == 1 ? "the only one of that name" : "the latest of " + std::to_string(jobs.size()) + " of that name";
    return ChosenJob{std::move(jobs.back()), why};
  }
  if (jobs.empty())
    return unexpected(ErrorCode::kNotFound, "no job was submitted yet; submit one with `covey run job.toml`");
  const std::string why =
      jobs.size() == 1 ? "the only job" : "the latest of " + std::to_string(jobs.size()) + " jobs";
  return ChosenJob{std::move(jobs.back()), why};
}

}  // namespace covey::cli
