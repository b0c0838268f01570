// The operator's verbs. One gate before them all: only members with Role::kOperator, neither revoked
// nor past their end, are served; everyone else is told why not. They need not have joined. Every reply fits one control frame: at most kPageRowsMax rows of bounded text.
#pragma once
#include <map>
#include <memory>
#include <utility>

#include "coordinator/job_runner.h"
#include "coordinator/key_keeper.h"

namespace covey {

using Jobs = std::map<JobId, std::unique_ptr<JobRunner>>;

inline constexpr std::size_t kSubmissionsMax = 16;  // job files being fetched at once
inline constexpr std::size_t kPendingJobsMax = 1000;
inline constexpr std::size_t kReadingsMax = 16;     // pages of records being read at once

inline constexpr std::size_t kJobsPageTextBytesMax = 5000;  // of the jobs in one page: with their figures they fit a control frame

class OperatorDesk {
 public:
  OperatorDesk(Services services, Jobs& jobs, KeyKeeper& keys);  // all outlive this

  void know(const Job& job);             // a job from rows: its nonce is taken
  Result<void> load_floor(ByteSpan row); // job_floor.h

  void request(const Link& from, const OperatorRequest& request, Instant now);

  // ---- events; false: not of a submission
  bool blob_fetched(const BlobFetched& event, Instant now);
  bool blob_failed(const BlobFailed& event);
  bool work_done(const WorkDone& event, Instant now);  // of a reading of the records
  bool work_failed(const WorkFailed& event);

 private:
  struct Submission {
    Link from;
    std::uint64_t request = 0;
    SubmitJob verb;
  };
  using Nonce = std::pair<PeerKey, std::uint64_t>;
  // The answer, or nothing when it comes later.
  using Answer = std::optional<OperatorAnswer>;
  Answer on(const Node& who, const Link& from, std::uint64_t id, const SubmitJob& verb);
  Answer read_chain(const Link& from, std::uint64_t id, std::string_view table, std::uint64_t after);
  OperatorAnswer answer(const Node& who, const OperatorVerb& verb, Instant now);
  OperatorAnswer on(const ListJobs& verb) const;
  OperatorAnswer on(const ShowJob& verb) const;
  OperatorAnswer on(const ShowClients& verb) const;
  OperatorAnswer on(const ShowConfig& verb) const;
  Result<const JobRunner*> job_of(JobId id) const;
  OperatorAnswer submit(const Submission& submission, const Bytes& toml, Instant now);
  void reply(const Link& to, std::uint64_t id, OperatorAnswer answer);
  void refuse(const Link& to, std::uint64_t id, Error error, Instant now);

  Services services_;
  Jobs& jobs_;
  JobId floor_ = 1;  // of the next job's number
  KeyKeeper& keys_;
  std::map<Nonce, JobId> nonces_;
  std::map<Ticket, Submission> submissions_;
  struct Reading {
    Link from;
    std::uint64_t request = 0;
  };
  std::map<Ticket, Reading> readings_;
  std::optional<Reading> take_reading(Ticket ticket);
};

}  // namespace covey
