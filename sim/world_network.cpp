// What happens between the nodes of a simulated world: frames, and the blobs they carry.
#include <algorithm>
#include <utility>

#include "core/base/wire.h"
#include "net/codec.h"
#include "privacy/secagg_messages.h"
#include "sim/world_node.h"

namespace covey {
namespace {

std::string kind_of_note(const Bytes& content) {
  static constexpr const char* kKinds[] = {"Invite", "Join", "Roster", "Shares", "Delivery", "Confirm", "MaskOrder",
                                           "Masked", "Survivors", "AbortRequest", "Vote", "Outcome", "Unmask", "Evidence", "SeedsRequest", "PairSeeds"};
  const auto message = decode_secagg_message(content);
  return message ? kKinds[message->index()] : "that does not decode";
}

// "UpdateReady job 1 round 2 attempt 1"
std::string text_of_message(const Message& message) {
  std::string text = name_of(message);
  std::visit(
      [&](const auto& m) {
        if constexpr (requires { RoundKey(m.key); }) text += " " + to_text(m.key);
        if constexpr (std::is_same_v<std::decay_t<decltype(m)>, SecAggNote>) text += " " + kind_of_note(m.content);
        if constexpr (requires { m.committed; }) text += m.committed ? " committed" : " not committed";
        if constexpr (requires { std::string(m.error.message); }) text += ": " + m.error.message;
      },
      message);
  return text;
}

}  // namespace

// Liars' words are no promises: of theirs only the figures of an evaluation can be acknowledged, so
// that an acknowledged update of a liar is found as one that was never sent.
std::optional<std::string> World::check_sent(Node& from, const Node& to, const Message& message) {
  if (checker_ == nullptr) return std::nullopt;
  if (from.index == kCoordinator) {
    const auto* refused = std::get_if<UpdateRefused>(&message);
    if (refused != nullptr && !to.parts.liar && refused->error.code != ErrorCode::kUnavailable)
      return "the update of the honest " + to.parts.name + " was refused: " + refused->error.message;
    return checker_->on_coordinator_message(to.parts.key, message, [&from](const std::string& key) { return from.store.has(key); });
  }
  if (const auto* order = std::get_if<OperatorRequest>(&message); order != nullptr && !from.parts.liar)
    if (const auto* revoke = std::get_if<RevokeNode>(&order->verb))
      for (const auto& node : nodes_)
        if (node->parts.name == revoke->node) checker_->on_revoke(node->parts.key);
  const auto* ready = std::get_if<UpdateReady>(&message);
  if (from.parts.liar && (ready == nullptr || ready->update)) return std::nullopt;
  if (from.parts.member && !from.parts.liar) {
    const SecureChecker::Disk disk{[&from](const std::string& key) { return from.store.get(key); },
                                   [&from](const Digest& blob) {
                                     auto content = from.blobs.get(blob);
                                     return content ? std::optional(std::move(*content)) : std::nullopt;
                                   }};
    if (const auto finding = checker_->secure().on_client_message(from.parts.key, message, disk)) return finding;
  }
  return checker_->on_client_message(from.parts.key, message);
}

void World::on(Node& node, Send command) {
  Node* to = node_of(command.to.peer);
  if (to == nullptr) return;
  if (const auto finding = check_sent(node, *to, command.message)) {
    tell([&] { return name_of_node(node.index) + " -> " + name_of_node(to->index) + ": " + text_of_message(command.message); });
    return fail({ErrorCode::kInternal, *finding});
  }
  // A link of an earlier process leads nowhere, as a closed connection does.
  if (node.index == kCoordinator && command.to.session != to->start) return;
  transmit(node, *to, command.message);
}

bool World::cut(std::size_t a, std::size_t b) const {
  const Duration since = since_start();
  return std::any_of(config_.faults.partitions.begin(), config_.faults.partitions.end(), [&](const Partition& partition) {
    if (since < partition.from || since >= partition.to) return false;
    const auto inside = [&](std::size_t node) {
      return std::find(partition.cut.begin(), partition.cut.end(), node) != partition.cut.end();
    };
    return inside(a) != inside(b);
  });
}

double World::bytes_per_second(const Node& node) const {
  for (const SlowPeer& slow : config_.faults.slow_peers)
    if (slow.node == node.index) return slow.bytes_per_second;
  return config_.faults.network.bytes_per_second;
}

Duration World::held_back(const Node& from, const Node& to) {
  const Duration since = since_start();
  for (const LateFrames& late : config_.faults.late_frames) {
    if (late.node != from.index && late.node != to.index) continue;
    if (since >= late.from && since < late.to && late_random_.uniform() < late.share) return late.hold;
  }
  return Duration::zero();
}

void World::transmit(Node& from, Node& to, const Message& message) {
  const NetworkModel& network = config_.faults.network;
  Bytes frame = encode_frame(message);
  ++frames_;
  bytes_ += frame.size();
  trace("send", from.index * 1'000'000'000ULL + to.index, frame);
  timeline_.update(ByteWriter().instant(now_).u64(from.index).u64(to.index).text(name_of(message)).bytes());
  tell([&] { return name_of_node(from.index) + " -> " + name_of_node(to.index) + ": " + text_of_message(message); });
  if (cut(from.index, to.index)) return;
  const bool quiet = since_start() >= config_.faults.quiet_after;
  const double lost = network_random_.uniform();
  const double doubled = network_random_.uniform();
  if (!quiet && lost < network.loss) return;
  // The narrower side of the path is the client's: its link sends one frame after the other.
  Node& narrow = from.index == kCoordinator ? to : from;
  narrow.link_free = std::max(narrow.link_free, now_) + from_seconds(static_cast<double>(frame.size()) / bytes_per_second(narrow));
  const int copies = !quiet && doubled < network.duplicate ? 2 : 1;
  const Duration held = held_back(from, to);
  for (int copy = 0; copy < copies; ++copy) {
    const Duration delay = network.delay + held + from_seconds(network_random_.uniform() * seconds(network.jitter));
    const std::uint64_t session = from.index == kCoordinator ? to.start : from.start;
    at(narrow.link_free + delay, [this, a = from.index, b = to.index, session, frame] { deliver(a, b, session, frame); });
  }
}

void World::deliver(std::size_t from_index, std::size_t to_index, std::uint64_t session, const Bytes& frame) {
  Node& from = *nodes_[from_index];
  Node& to = *nodes_[to_index];
  if (!to.up()) return;
  if (to_index != kCoordinator && session != to.start) return;
  if (to_index == kCoordinator && from.parts.member && !admitted_.contains(from.parts.key)) return;
  const auto message = decode_frame(frame);
  if (!message && from.parts.liar) return;  // refused at the door, as in production
  if (!message) return fail(in_context("a frame of our own does not decode", message.error()));
  if (is_bulk(*message)) return after_transfer(to, to.transfer->receive(from.parts.key, *message, clock_of(to)));
  // A client knows its coordinator as session 1, whatever happens behind it.
  dispatch(to, Received{{from.parts.key, to_index == kCoordinator ? session : 1}, *message});
}

void World::on(Node& node, const AdmitPeer& command) {
  COVEY_CHECK(node.index == kCoordinator);
  admitted_.insert(command.peer);
}

void World::on(Node& node, const ExpelPeer& command) {
  COVEY_CHECK(node.index == kCoordinator);
  admitted_.erase(command.peer);
}

// ---- blobs

void World::after_transfer(Node& node, BlobTransfer::Step step) {
  for (BlobTransfer::Outgoing& outgoing : step.outgoing) {
    if (node.parts.tamper && !node.parts.tamper(outgoing.message)) continue;
    if (Node* to = node_of(outgoing.to)) transmit(node, *to, outgoing.message);
  }
  for (const Event& event : step.events) {
    // Through the queue, so that no machine is entered while it is handling an event.
    at(now_, [this, &node, start = node.start, event] {
      if (node.start == start) dispatch(node, event);
    });
  }
  arm_transfer(node);
}

void World::arm_transfer(Node& node) {
  if (!node.up()) return;
  const auto due = node.transfer->next_tick();
  if (!due) return;
  const Instant next = *due - node.clock;
  if (node.transfer_armed && *node.transfer_armed <= next) return;
  node.transfer_armed = next;
  at(next, [this, &node, start = node.start] {
    if (node.start != start || !node.up()) return;
    node.transfer_armed.reset();
    after_transfer(node, node.transfer->tick(clock_of(node)));
  });
}

void World::on(Node& node, const FetchBlob& command) { after_transfer(node, node.transfer->fetch(command, clock_of(node))); }
void World::on(Node& node, const CancelFetch& command) { node.transfer->cancel(command.ticket, command.unfinished); }
void World::on(Node& node, const PublishBlob& command) { node.transfer->publish(command); }
void World::on(Node& node, const WithdrawBlob& command) { node.transfer->withdraw(command.blob); }

void World::on(Node& node, const EraseBlob& command) {
  node.transfer->erased(command.blob);
  node.blobs.drop_partial(command.blob);
  COVEY_CHECK(node.blobs.erase(command.blob).has_value());
}

}  // namespace covey
