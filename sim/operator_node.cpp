#include "sim/operator_node.h"

namespace covey {
namespace {

constexpr Duration kPoll = std::chrono::seconds(1);
constexpr std::uint64_t kNonce = 1;  // one job a world

}  // namespace

OperatorNode::OperatorNode(PeerKey coordinator, BlobRef job, View& view)
    : coordinator_(coordinator), job_blob_(job), view_(view) {}

Commands OperatorNode::handle(const Event& event, Instant) {
  if (std::holds_alternative<Started>(event)) {
    Commands commands{PublishBlob{job_blob_.id, coordinator_}};
    for (Command& command : ask()) commands.push_back(std::move(command));
    return commands;
  }
  if (std::holds_alternative<TimerFired>(event)) return ask();
  if (const auto* received = std::get_if<Received>(&event))
    if (const auto* reply = std::get_if<OperatorReply>(&received->message)) return answer(*reply);
  return {};
}

// The question again until it is answered: what is lost is asked once more.
Commands OperatorNode::ask() {
  OperatorRequest request{++request_, {}};
  if (job_ == 0) {
    request.verb = SubmitJob{kNonce, job_blob_};
  } else {
    const std::uint32_t seen = !view_.detail || view_.detail->metrics.empty() ? 0 : view_.detail->metrics.back().round;
    request.verb = ShowJob{job_, seen};
  }
  return {Send{{coordinator_, 1}, request}, SetTimer{"poll", kPoll}};
}

Commands OperatorNode::answer(const OperatorReply& reply) {
  if (const auto* submitted = std::get_if<Submitted>(&reply.answer)) {
    job_ = submitted->job;
    return {};
  }
  if (const auto* shown = std::get_if<JobDetail>(&reply.answer)) return detail(*shown);
  if (const auto* error = std::get_if<Error>(&reply.answer)) {
    if (error->code == ErrorCode::kUnavailable) return {};  // asked again by the timer
    return {Halt{1, error->message}};
  }
  return {};
}

Commands OperatorNode::detail(const JobDetail& shown) {
  JobDetail next = shown;
  next.metrics = view_.detail ? view_.detail->metrics : std::vector<RoundMetrics>();
  const std::size_t known = next.metrics.size();
  for (const RoundMetrics& metrics : shown.metrics)
    if (next.metrics.empty() || metrics.round > next.metrics.back().round) next.metrics.push_back(metrics);
  for (std::size_t i = known; view_.on_round && i < next.metrics.size(); ++i) view_.on_round(next.metrics[i]);
  const bool grew = next.metrics.size() > known;
  view_.detail = std::move(next);
  const JobState state = shown.summary.state;
  const bool ended = state == JobState::kFinished || state == JobState::kFailed || state == JobState::kStopped;
  // A page may hold part of the rounds only: ask until it brings nothing new.
  if (ended && !grew) return {Halt{state == JobState::kFinished ? 0 : 1, shown.summary.text}};
  return {};
}

}  // namespace covey
