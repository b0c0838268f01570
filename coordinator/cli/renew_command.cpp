// covey renew.
#include "coordinator/cli/commands.h"
#include "coordinator/cli/format.h"
#include "coordinator/cli/renewal.h"
#include "coordinator/cli/token.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"
#include "core/spec/setting.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

void say_renewed(const std::string& name, const Renewal& renewal, Console& console) {
  console.object(JsonObject()
                     .add("event", "renewed")
                     .add("node", name)
                     .add("members_until", iso8601(renewal.valid_until))
                     .add("serial", renewal.serial));
  console.line(name + " is a member until " + date_text(renewal.valid_until) + " UTC.");
}

Result<void> renew_one(Session& session, const NodeSummary& node, Instant until, const SigningKey& authority,
                       Console& console) {
  const Renewal renewal = make_renewal(node, until, SystemClock().now(), authority);
  const auto done = session.ask_for<Done>(RegisterRenewal{renewal});
  if (!done) return unexpected(in_context(node.name, done.error()));
  say_renewed(node.name, renewal, console);
  return {};
}

// All that the coordinator has; those with more time left than asked keep it.
Result<void> renew_all(Session& session, const std::vector<NodeSummary>& nodes, Instant until,
                       const SigningKey& authority, Console& console) {
  for (const NodeSummary& node : nodes) {
    if (node.revoked) continue;
    if (node.members_until > until) {
      console.object(JsonObject().add("event", "kept").add("node", node.name).add("members_until", iso8601(node.members_until)));
      console.line(node.name + " stays a member until " + date_text(node.members_until) + " UTC, which is longer.");
      continue;
    }
    COVEY_TRY_VOID(renew_one(session, node, until, authority, console));
  }
  return {};
}

// What a renewal offline left at `path` before. Nothing where there is none, or where it is of another operator.
Result<std::optional<Renewal>> earlier_renewal(const std::string& path, const Certificate& certificate, const VerifyKey& authority) {
  constexpr std::size_t kBytesMax = 16 * 1024;
  const auto encoded = read_file(path, kBytesMax);
  if (!encoded && encoded.error().code == ErrorCode::kNotFound) return std::optional<Renewal>();
  if (!encoded) return unexpected(encoded.error());
  auto renewal = decode_renewal(*encoded);
  if (!renewal) return unexpected(in_context(path, renewal.error()));
  if (!verify(*renewal, certificate, authority)) return std::optional<Renewal>();
  return std::optional<Renewal>(std::move(*renewal));
}

// Of this home's own operator, for the coordinator to read at its start: it would not hear a member
// whose day is over, and there may be no other operator.
Result<int> renew_offline(const RenewOptions& options, Duration lasts, Console& console) {
  const std::string own = operator_folder(options.home);
  COVEY_TRY(const auto membership, load_membership(own));
  if (!membership)
    return unexpected(ErrorCode::kNotFound, own + " holds no operator; name the folder that `covey init` made with --home");
  COVEY_TRY(const SigningKey authority, authority_of(options.home, membership->coordinator));
  const Certificate& certificate = membership->certificate;
  NodeSummary node;
  node.key = certificate.curve;
  node.name = certificate.name;
  node.signing = certificate.signing;
  const Instant now = SystemClock().now();
  const std::string folder = coordinator_folder(options.home) + "/operators";
  const std::string path = folder + "/" + certificate.name + ".renewal";
  COVEY_TRY(const std::optional<Renewal> before, earlier_renewal(path, certificate, membership->coordinator.authority));
  const Instant end = membership_end(certificate, before);
  if (now + lasts < end)
    return unexpected(ErrorCode::kInvalidArgument, certificate.name + " is a member until " + date_text(end) + " UTC, and --for " + options.lasts +
                                                       " would end that at " + date_text(now + lasts) +
                                                       ", which the coordinator refuses; name a longer --for. Nothing was written");
  if (before) node.renewal = before->serial;
  const Renewal renewal = make_renewal(node, now + lasts, now, authority);
  COVEY_TRY_VOID(make_folders(folder, 0700));
  COVEY_TRY_VOID(write_file(path, encode(renewal)));
  say_renewed(certificate.name, renewal, console);
  console.note("Wrote " + path + "; restart the coordinator there, or copy the file to that folder of its own home first.");
  return kExitOk;
}

}  // namespace

Result<int> renew_command(const RenewOptions& options, Console& console) {
  COVEY_TRY(const Duration lasts, duration_from("--for", options.lasts, kMembershipMin, kMembershipMax));
  const int ways = (options.node.empty() ? 0 : 1) + (options.all ? 1 : 0) + (options.offline ? 1 : 0);
  if (ways != 1)
    return unexpected(ErrorCode::kInvalidArgument,
                      "whom to renew: give one of NODE, --all, and --offline (this home's own operator)");
  if (options.offline) return renew_offline(options, lasts, console);
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const SigningKey authority, authority_of(options.home, session->membership().coordinator));
  COVEY_TRY(const auto nodes, session->nodes());
  const Instant until = SystemClock().now() + lasts;
  if (options.all) {
    COVEY_TRY_VOID(renew_all(*session, nodes, until, authority, console));
    return kExitOk;
  }
  COVEY_TRY(const NodeSummary node, choose_node(nodes, options.node));
  COVEY_TRY_VOID(renew_one(*session, node, until, authority, console));
  if (!node.revoked && SystemClock().now() >= node.members_until)
    console.note("Its membership had ended: start it again where it runs; it needs no new token.");
  return kExitOk;
}

}  // namespace covey::cli
