// covey vouch.
#include <algorithm>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/renewal.h"
#include "coordinator/cli/token.h"
#include "coordinator/cli/vouching.h"
#include "coordinator/cli/withdrawing.h"
#include "core/base/clock.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/spec/setting.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr double kFollowSeconds = 2;

void show(const std::vector<Certificate>& sound, Console& console) {
  Table table({"NAME", "KEY", "SIGNING KEY"});
  for (const Certificate& node : sound) {
    console.object(JsonObject()
                       .add("event", "unvouched")
                       .add("node", node.name)
                       .add("key", hex(node.curve.span()))
                       .add("signing", hex(node.signing.span())));
    table.add({node.name, short_hex(node.curve), hex(node.signing.span())});
  }
  if (table.empty()) return;
  console.table(table);
  console.note("Compare the signing keys with those that the sites' logs show at their start (client_started); "
               "then `covey vouch NAME ...` or `covey vouch --all`.");
}

// When nobody is left to vouch for: why.
Result<void> say_none(Session& session, Console& console) {
  COVEY_TRY(const auto nodes, session.nodes());
  const bool clients = std::any_of(nodes.begin(), nodes.end(), [](const NodeSummary& node) { return node.role == Role::kClient && !node.revoked; });
  console.line(clients ? "Every client has a credential for secure aggregation."
                       : "No client has enrolled yet; make a join token with `covey token`.");
  return {};
}

// What a name stands for that is not among those without a credential. Errors: why it cannot have one.
Result<void> explain(const std::vector<NodeSummary>& nodes, const std::string& text, Console& console) {
  COVEY_TRY(const NodeSummary node, choose_node(nodes, text));
  if (node.credential_epoch != 0) {
    console.object(JsonObject().add("event", "kept").add("node", node.name).add("epoch", node.credential_epoch));
    console.line(node.name + " has its credential already.");
    return {};
  }
  const std::string why = node.revoked                  ? "is revoked, and its credential ended with it; give that site a new token"
                          : node.role != Role::kClient  ? std::string("has the role ") + name_of(node.role) + "; only clients aggregate"
                          : SystemClock().now() >= node.members_until
                              ? "is no member any more; `covey renew " + node.name + "` first"
                              : "has no certificate that holds";
  return unexpected(ErrorCode::kInvalidArgument, node.name + " " + why);
}

Result<void> explain_missing(Session& session, const std::vector<std::string>& missing, Console& console) {
  if (missing.empty()) return {};
  COVEY_TRY(const auto nodes, session.nodes());
  for (const std::string& text : missing) COVEY_TRY_VOID(explain(nodes, text, console));
  return {};
}

// Of certificates that do not hold, once each.
Result<void> complain(const std::vector<std::string>& unsound) {
  if (unsound.empty()) return {};
  return unexpected(ErrorCode::kPermissionDenied,
                    "the coordinator gave " + std::to_string(unsound.size()) +
                        " certificates that do not hold, which no sound coordinator does; not signed: " + unsound.front());
}

Result<int> refused_some(std::size_t issued, std::size_t wanted) {
  if (issued == wanted) return kExitOk;
  return unexpected(ErrorCode::kPermissionDenied, "the coordinator refused " + std::to_string(wanted - issued) + " of " +
                                                      std::to_string(wanted) + " credentials");
}

Result<int> follow(Session& session, const std::string& home, const SigningKey& authority, Console& console) {
  const StopSignals signals([] {});
  console.note("Vouching for everyone who enrols, until Ctrl-C.");
  bool lost = false;
  for (;;) {
    const auto round = [&]() -> Result<void> {
      COVEY_TRY(const auto unvouched, session.unvouched());
      if (unvouched.empty()) return {};
      COVEY_TRY(const Withdrawals list, newest_withdrawals(session, home, authority));
      const Candidates candidates = judge(unvouched, authority.public_key());
      COVEY_TRY_VOID(vouch_for(session, {authority, list.epoch}, candidates.sound, console));
      return complain(candidates.unsound);
    }();
    if (round) {
      lost = false;
    } else {
      if (round.error().code != ErrorCode::kUnavailable) return unexpected(round.error());
      if (!std::exchange(lost, true)) console.warn("The coordinator does not answer; trying again until Ctrl-C.");
      COVEY_TRY_VOID(session.reconnect());
    }
    if (!wait_or_interrupt(kFollowSeconds)) return kExitOk;
  }
}

// Everyone who had a credential gets one of the next epoch, and nobody else. Cut off in between, `covey vouch --all`
// goes on: the list is in force, and all that it withdrew are without.
Result<int> begin_next_epoch(Session& session, const std::string& home, const SigningKey& authority, Console& console) {
  COVEY_TRY(const auto nodes, session.nodes());
  COVEY_TRY(const Withdrawals held, newest_withdrawals(session, home, authority));
  COVEY_TRY(const Withdrawals next, begin_epoch(held, authority));
  COVEY_TRY_VOID(put_in_force(session, home, next));
  console.object(JsonObject().add("event", "epoch").add("epoch", next.epoch).add("list", next.number));
  console.line("Credential epoch " + std::to_string(next.epoch) + " has begun: every credential signed before counts no more.");
  COVEY_TRY(const auto unvouched, session.unvouched());
  Candidates candidates = judge(unvouched, authority.public_key());
  std::erase_if(candidates.sound, [&](const Certificate& one) {
    return std::none_of(nodes.begin(), nodes.end(),
                        [&](const NodeSummary& node) { return node.key == one.curve && node.credential_epoch != 0; });
  });
  COVEY_TRY(const std::size_t issued, vouch_for(session, {authority, next.epoch}, candidates.sound, console));
  console.line(std::to_string(issued) + " of " + std::to_string(candidates.sound.size()) + " members have credentials of epoch " +
               std::to_string(next.epoch) + ".");
  COVEY_TRY_VOID(complain(candidates.unsound));
  return refused_some(issued, candidates.sound.size());
}

}  // namespace

Result<int> vouch_command(const VouchOptions& options, Console& console) {
  if (options.all && !options.nodes.empty())
    return unexpected(ErrorCode::kInvalidArgument, "for whom to vouch: give names or --all, not both");
  if (options.follow && !options.all)
    return unexpected(ErrorCode::kInvalidArgument, "--follow vouches for everyone who enrols: give --all with it");
  if (options.new_epoch && (options.all || options.follow || !options.nodes.empty()))
    return unexpected(ErrorCode::kInvalidArgument, "--new-epoch signs for everyone who has a credential: give it alone");
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const SigningKey authority, authority_of(options.home, session->membership().coordinator));
  if (options.follow) return follow(*session, options.home, authority, console);
  if (options.new_epoch) return begin_next_epoch(*session, options.home, authority, console);
  // First: by the newest list others may be without. Who only looks changes nothing.
  Withdrawals list;
  if (options.all || !options.nodes.empty()) {
    COVEY_TRY(list, newest_withdrawals(*session, options.home, authority));
  }
  COVEY_TRY(const auto unvouched, session->unvouched());
  const Candidates candidates = judge(unvouched, authority.public_key());
  if (!options.all && options.nodes.empty()) {
    show(candidates.sound, console);
    if (candidates.sound.empty() && candidates.unsound.empty()) COVEY_TRY_VOID(say_none(*session, console));
    COVEY_TRY_VOID(complain(candidates.unsound));
    return kExitOk;
  }
  const ChosenNodes chosen = choose(candidates.sound, options.nodes);
  COVEY_TRY(const std::size_t issued, vouch_for(*session, {authority, list.epoch}, chosen.certificates, console));
  if (options.all && chosen.certificates.empty() && candidates.unsound.empty()) COVEY_TRY_VOID(say_none(*session, console));
  COVEY_TRY_VOID(complain(candidates.unsound));
  COVEY_TRY_VOID(explain_missing(*session, chosen.missing, console));
  return refused_some(issued, chosen.certificates.size());
}

}  // namespace covey::cli
