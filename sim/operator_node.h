// The operator of a simulated world: submits jobs, stops them, revokes, lets in and vouches for clients as
// planned, follows every job to its end, then halts.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/protocol/machine.h"

namespace covey {

class OperatorNode final : public Machine {
 public:
  // What it has learnt, kept by the world's owner: it outlives the machine's crashes.
  struct View {
    std::optional<JobDetail> detail;         // of the first job, with all metrics seen so far
    std::function<void(const RoundMetrics&)> on_round;  // of the first job, a round that was not seen before
    std::map<JobId, JobSummary> others;      // the latest of every further job
    std::map<JobId, std::size_t> submission; // which of the submissions each job is, from 0
  };
  struct Order {                             // given at `at` after the start, again until it is answered
    Duration at{};
    OperatorVerb verb;                       // of SubmitJob the nonce is filled in
  };
  // `jobs` are the blobs of the job files, already among the operator's blobs, one for each submission (the last
  // for all further ones); `view` outlives this.
  OperatorNode(PeerKey coordinator, const std::vector<BlobRef>& jobs, std::vector<Order> orders, View& view);
  Commands handle(const Event& event, Instant now) override;

 private:
  struct Standing {                          // of an order
    OperatorVerb verb;
    bool due = false;
    bool answered = false;
    std::uint64_t request = 0;               // the latest that asked for it
  };
  void send(Commands& commands, std::uint64_t request, OperatorVerb verb);
  Commands poll();
  Commands answer(const OperatorReply& reply);
  void detail(const JobDetail& shown);
  bool all_over() const;
  static bool settles(const OperatorVerb& verb, const OperatorAnswer& answer);  // it need not be said again

  PeerKey coordinator_;
  View& view_;
  std::uint64_t request_ = 0;
  std::vector<Standing> orders_;             // the first is the first job's
  std::vector<Duration> due_;
  std::map<JobId, bool> jobs_;               // submitted: whether over
};

}  // namespace covey
