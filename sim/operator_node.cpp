#include "sim/operator_node.h"

#include <algorithm>
#include <set>

namespace covey {
namespace {

constexpr Duration kPoll = std::chrono::seconds(1);
constexpr const char* kPollTimer = "poll";
constexpr std::string_view kOrderTimer = "order/";
constexpr JobId kFirstJob = 1;

bool ended(JobState state) {
  return state == JobState::kFinished || state == JobState::kFailed || state == JobState::kStopped;
}

}  // namespace

OperatorNode::OperatorNode(PeerKey coordinator, const std::vector<BlobRef>& jobs, std::vector<Order> orders, View& view)
    : coordinator_(coordinator), view_(view) {
  orders.insert(orders.begin(), Order{Duration::zero(), SubmitJob{}});
  std::uint64_t nonce = 0;
  for (Order& order : orders) {
    if (auto* submit = std::get_if<SubmitJob>(&order.verb)) {
      const BlobRef job = jobs.at(std::min<std::size_t>(nonce, jobs.size() - 1));
      *submit = SubmitJob{++nonce, job};
    }
    due_.push_back(order.at);
    orders_.push_back({std::move(order.verb), false, false, 0});
  }
}

Commands OperatorNode::handle(const Event& event, Instant) {
  if (std::holds_alternative<Started>(event)) {
    Commands commands;
    std::set<Digest> published;
    for (const Standing& order : orders_)
      if (const auto* submit = std::get_if<SubmitJob>(&order.verb); submit != nullptr && published.insert(submit->job.id).second)
        commands.push_back(PublishBlob{submit->job.id, coordinator_});
    orders_.front().due = true;
    for (std::size_t i = 1; i < orders_.size(); ++i)
      commands.push_back(SetTimer{std::string(kOrderTimer) + std::to_string(i), due_[i]});
    for (Command& command : poll()) commands.push_back(std::move(command));
    return commands;
  }
  if (const auto* fired = std::get_if<TimerFired>(&event)) {
    if (fired->name == kPollTimer) return poll();
    orders_.at(std::stoul(fired->name.substr(kOrderTimer.size()))).due = true;
    return {};
  }
  if (const auto* received = std::get_if<Received>(&event))
    if (const auto* reply = std::get_if<OperatorReply>(&received->message)) return answer(*reply);
  return {};
}

void OperatorNode::send(Commands& commands, std::uint64_t request, OperatorVerb verb) {
  commands.push_back(Send{{coordinator_, 1}, OperatorRequest{request, std::move(verb)}});
}

// Every open question again until it is answered: what is lost is asked once more.
Commands OperatorNode::poll() {
  Commands commands;
  for (Standing& order : orders_) {
    if (!order.due || order.answered) continue;
    order.request = ++request_;
    send(commands, order.request, order.verb);
  }
  for (const auto& [job, over] : jobs_) {
    if (over) continue;
    std::uint32_t seen = 0;
    if (job == kFirstJob && view_.detail && !view_.detail->metrics.empty()) seen = view_.detail->metrics.back().round;
    send(commands, ++request_, ShowJob{job, seen});
  }
  commands.push_back(SetTimer{kPollTimer, kPoll});
  return commands;
}

Commands OperatorNode::answer(const OperatorReply& reply) {
  const auto order = std::find_if(orders_.begin(), orders_.end(), [&](const Standing& o) { return o.request == reply.id && !o.answered; });
  const auto* error = std::get_if<Error>(&reply.answer);
  // A coordinator without space says so: a person tries again.
  const bool passes = error != nullptr && (error->code == ErrorCode::kUnavailable || error->code == ErrorCode::kResourceExhausted);
  if (error != nullptr && !passes && order == orders_.begin()) return {Halt{1, error->message}};
  if (order != orders_.end()) order->answered = settles(order->verb, reply.answer);  // else asked again by the timer
  if (const auto* submitted = std::get_if<Submitted>(&reply.answer)) {
    jobs_.try_emplace(submitted->job, false);
    const auto* submit = order == orders_.end() ? nullptr : std::get_if<SubmitJob>(&order->verb);
    if (submit != nullptr) view_.submission[submitted->job] = static_cast<std::size_t>(submit->nonce - 1);
  }
  if (const auto* shown = std::get_if<JobDetail>(&reply.answer)) detail(*shown);
  if (all_over()) return {Halt{0, "every job has ended"}};
  return {};
}

// Nobody vouches again for one that is shut out; for one that has not enrolled yet, once it has.
bool OperatorNode::settles(const OperatorVerb& verb, const OperatorAnswer& answer) {
  const auto* error = std::get_if<Error>(&answer);
  if (error == nullptr) return true;
  return std::holds_alternative<IssueCredentials>(verb) && error->code == ErrorCode::kPermissionDenied;
}

// The jobs end without those who were never vouched for.
bool OperatorNode::all_over() const {
  const bool waits = std::any_of(orders_.begin(), orders_.end(), [](const Standing& order) {
    return !order.answered && !std::holds_alternative<IssueCredentials>(order.verb) && (order.due || std::holds_alternative<SubmitJob>(order.verb));
  });
  return !waits && std::all_of(jobs_.begin(), jobs_.end(), [](const auto& job) { return job.second; });
}

void OperatorNode::detail(const JobDetail& shown) {
  const JobId job = shown.summary.job;
  if (job != kFirstJob) {
    view_.others[job] = shown.summary;
    jobs_[job] = ended(shown.summary.state);
    return;
  }
  JobDetail next = shown;
  next.metrics = view_.detail ? view_.detail->metrics : std::vector<RoundMetrics>();
  const std::size_t known = next.metrics.size();
  for (const RoundMetrics& metrics : shown.metrics)
    if (next.metrics.empty() || metrics.round > next.metrics.back().round) next.metrics.push_back(metrics);
  for (std::size_t i = known; view_.on_round && i < next.metrics.size(); ++i) view_.on_round(next.metrics[i]);
  const bool grew = next.metrics.size() > known;
  view_.detail = std::move(next);
  // A page may hold part of the rounds only: ask until it brings nothing new.
  jobs_[job] = ended(shown.summary.state) && !grew;
}

}  // namespace covey
