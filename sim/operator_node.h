// The operator of a simulated world: submits one job, follows it to its end, then halts.
#pragma once
#include <memory>
#include <optional>

#include "core/protocol/machine.h"

namespace covey {

class OperatorNode final : public Machine {
 public:
  // What it has learnt, kept by the world's owner: it outlives the machine's crashes.
  struct View {
    std::optional<JobDetail> detail;         // with all metrics seen so far
    std::function<void(const RoundMetrics&)> on_round;  // a round that was not seen before
  };
  // `job` is the blob of the job file, already among the operator's blobs; `view` outlives this.
  OperatorNode(PeerKey coordinator, BlobRef job, View& view);
  Commands handle(const Event& event, Instant now) override;

 private:
  Commands ask();
  Commands answer(const OperatorReply& reply);
  Commands detail(const JobDetail& detail);

  PeerKey coordinator_;
  BlobRef job_blob_;
  View& view_;
  std::uint64_t request_ = 0;
  JobId job_ = 0;  // 0: not submitted yet
};

}  // namespace covey
