#include "sim/stalemate.h"

#include <algorithm>

#include "coordinator/secure_attempt.h"
#include "core/protocol/manifest.h"
#include "privacy/round_terms.h"

namespace covey {
namespace {

bool may_sign_abort(const AttemptRecord& record) {
  switch (record.state) {
    case AttemptState::kJoined: return record.id.root != RosterRoot{};  // it knew its roster
    case AttemptState::kMasked:
    case AttemptState::kVotedAbort: return true;
    case AttemptState::kVotedCommit: return record.complete;
    default: return false;
  }
}

}  // namespace

std::vector<std::size_t> Bindings::honest(const FaultPlan& plan, std::size_t clients) {
  std::set<std::size_t> out;
  for (const OperatorAct& act : plan.acts)
    if (act.act == Act::kRevoke) out.insert(act.target);
  for (const Liar& liar : plan.liars) out.insert(liar.node);
  std::vector<std::size_t> all;
  for (std::size_t client = 1; client <= clients; ++client)
    if (!out.contains(client)) all.push_back(client);
  return all;
}

Bindings::Bindings(const Rows& honest) {
  for (const auto& [client, rows] : honest) {
    std::vector<AttemptRecord>& records = records_[client];
    for (const Row& row : rows) {
      if (!row.key.starts_with(kAttemptPrefix)) continue;
      auto record = decode_attempt_record(row.value);
      COVEY_CHECK(record.has_value());
      if (may_sign_abort(*record)) ++signers_[record->id.sid];
      records.push_back(*std::move(record));
    }
  }
}

bool Bindings::endless(const AttemptRecord& record) const {
  const auto signers = signers_.find(record.id.sid);
  return may_be_out(record) && (signers == signers_.end() || signers->second < record.quorum);
}

std::optional<std::string> Bindings::stalemate_of(const JobSpec& job, const JobSummary& summary) const {
  if (!job.privacy.secure_aggregation || summary.state != JobState::kFailed) return std::nullopt;
  if (summary.text.find(kEndlessWords) == std::string::npos) return std::nullopt;
  const Digest task = task_of(blob_ref_of(bytes_of(public_toml(job))).id);
  const std::string stage(stage_of(summary.round < summary.rounds ? RoundKind::kTrain : RoundKind::kEvaluate));
  const auto binds = [&](const AttemptRecord& record) {
    const bool overlaps = (record.task == task && record.round == summary.round + 1) || record.model == summary.model.id;
    return record.stage == stage && overlaps && endless(record);
  };
  const auto able = std::count_if(records_.begin(), records_.end(), [&](const auto& client) {
    return std::none_of(client.second.begin(), client.second.end(), binds);
  });
  if (static_cast<std::uint32_t>(able) >= job.selection.min_clients) return std::nullopt;
  return "job " + std::to_string(summary.job) + ": " + summary.text;
}

}  // namespace covey
