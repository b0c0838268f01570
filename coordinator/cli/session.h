// A conversation with the coordinator under the operator's identity in a home folder.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"
#include "core/service/identity.h"
#include "net/reactor.h"

namespace covey::cli {

class Session {
 public:
  // Reads keys and membership in operator_folder(home); nothing is sent yet. `blobs` outlives this.
  // Errors: kNotFound when the folder holds no operator (and what to do), those of make_caller.
  static Result<std::unique_ptr<Session>> open(const std::string& home, BlobStore& blobs);

  // One verb, its answer. An Error in the answer comes back as an error.
  Result<OperatorAnswer> ask(OperatorVerb verb);
  // The same, where only one kind of answer makes sense.
  template <class Answer>
  Result<Answer> ask_for(OperatorVerb verb) {
    COVEY_TRY(OperatorAnswer answer, ask(std::move(verb)));
    if (auto* wanted = std::get_if<Answer>(&answer)) return std::move(*wanted);
    return unexpected(ErrorCode::kInternal, "the coordinator gave an answer of another kind; install the same version of Covey on both sides");
  }

  Result<std::vector<JobSummary>> jobs();
  Result<std::vector<NodeSummary>> nodes();
  // Certificates of the clients without a credential, by key; the coordinator's word, verified by nobody
  // yet. Errors: kCorrupted for a page that does not follow the one before.
  Result<std::vector<Certificate>> unvouched();
  // `after_round`: only the rounds after it.
  Result<JobDetail> job(JobId id, std::uint32_t after_round);
  Result<std::vector<ClientMetrics>> clients_of(JobId id, std::uint32_t round);
  // The journal after `after`, oldest first.
  Result<std::vector<JournalEntry>> journal(JobId id, std::uint64_t after);
  // A whole chain, oldest first, as the coordinator gives it: List is ListAudit or ListLedger.
  // Errors: kCorrupted for a page that does not follow the one before.
  template <class List>
  Result<std::vector<ChainRecord>> chain() {
    std::vector<ChainRecord> all;
    for (;;) {
      COVEY_TRY(ChainRows page, ask_for<ChainRows>(List{all.size()}));
      if (page.rows.empty()) return all;
      COVEY_TRY_VOID(add_page(all, std::move(page)));
    }
  }
  // The job's public configuration; kUnavailable until it has started.
  Result<JobSpec> spec_of(JobId id);
  // `toml` as a job; a repeated call with one nonce submits once.
  Result<JobId> submit(const std::string& toml, std::uint64_t nonce);
  // Into the blob store, verified. `progress` gets the bytes of this blob so far.
  Result<Bytes> fetch(const BlobRef& blob, std::function<void(std::uint64_t)> progress);

  const Membership& membership() const { return membership_; }
  // The newest change of the coordinator's key that this home keeps.
  const std::optional<KeyChange>& key_change() const { return change_; }
  // Keeps it, if it is newer, for this session and the next.
  Result<void> follow(const KeyChange& change);
  // Drops the connection and dials again, for use after kUnavailable.
  Result<void> reconnect();

 private:
  Error explained(Error error) const;
  static Result<void> add_page(std::vector<ChainRecord>& all, ChainRows page);
  Session(std::string folder, Membership membership, CurveKey key, BlobStore& blobs);
  void take_note();
  std::string folder_;
  BlobStore& blobs_;
  Membership membership_;
  CurveKey key_;
  std::optional<KeyChange> change_;
  std::unique_ptr<Caller> caller_;
  std::uint64_t next_request_ = 1;
};

// A job's number. Errors: kInvalidArgument for anything else than 1 to 2^64 - 1.
Result<JobId> job_number(const std::string& text);

// The job that a command means: the one with the number `wanted`, else the latest of that name; empty: the
// latest there is. Errors: kNotFound when there is none, kInvalidArgument for a number out of range.
struct ChosenJob {
  JobSummary summary;
  std::string why;  // "the only job", "the latest of 3 jobs"; empty when it was named by its number
};
Result<ChosenJob> choose_job(Session& session, const std::string& wanted);

}  // namespace covey::cli
