// covey nodes, revoke.
#include <algorithm>
#include <tuple>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/renewal.h"
#include "coordinator/cli/session.h"
#include "coordinator/cli/token.h"
#include "coordinator/cli/withdrawing.h"
#include "core/base/clock.h"
#include "core/service/exit_code.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

// Of one name, the latest to enrol last: those before it are revoked.
void sort_by_name(std::vector<NodeSummary>& nodes) {
  std::sort(nodes.begin(), nodes.end(), [](const NodeSummary& a, const NodeSummary& b) {
    return std::tie(a.name, a.enrolled, a.key) < std::tie(b.name, b.enrolled, b.key);
  });
}

}  // namespace

Result<int> nodes_command(const std::string& home, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(home, blobs));
  COVEY_TRY(auto nodes, session->nodes());
  sort_by_name(nodes);
  const Instant now = SystemClock().now();
  Table table({"NAME", "KEY", "ROLE", "STATE", "VOUCHED", "LAST SEEN", "MEMBER UNTIL", "DEVICE", "CORES", "MEMORY", "GFLOP/S"},
              {5, 8, 9, 10});
  bool clients = false;
  std::size_t unvouched = 0;
  for (const NodeSummary& node : nodes) {
    console.object(to_json(node, now));
    clients = clients || node.role == Role::kClient;
    const bool may_be_vouched = node.role == Role::kClient && !node.revoked && now < node.members_until;
    if (may_be_vouched && node.credential_epoch == 0) ++unvouched;
    const bool known = node.capability.cores != 0;
    const bool operates = node.role == Role::kOperator;
    table.add({node.name, short_hex(node.key), name_of(node.role),
               node.revoked                ? "revoked"
               : now >= node.members_until ? "ended"
               : operates                  ? ""
               : node.connected            ? "connected"
                                           : "away",
               node.credential_epoch != 0 ? "yes" : may_be_vouched ? "no" : "",
               node.last_seen == Instant{}
                   ? "-"
                   : duration_text(seconds(std::max(Duration{}, now - node.last_seen))) + " ago",
               date_text(node.members_until).substr(0, 10),
               node.capability.device, known ? std::to_string(node.capability.cores) : "",
               known ? bytes_text(node.capability.memory_bytes) : "",
               known ? fixed_text(node.capability.gflops, 0) : ""});
  }
  console.table(table);
  for (const NodeSummary& node : nodes)
    if (const std::string standing = standing_of(node, now); !standing.empty())
      console.warn("The membership of " + node.name + (standing == "ended" ? " ended " : " ends ") +
                   date_text(node.members_until) + " UTC; `covey renew " + node.name + "` makes it longer.");
  if (unvouched != 0)
    console.note("Jobs with secure aggregation select only those that are vouched for: `covey vouch NAME`, or --all, where the authority's key is.");
  if (!clients) console.line("No client has enrolled yet; make a join token with `covey token`.");
  return kExitOk;
}

namespace {

// What the coordinator's own refusal does not reach: other members take a credential that the authority signed, until
// the authority says that it counts no more.
Result<void> withdraw_credential(Session& session, const std::string& home, const NodeSummary& node, Console& console) {
  const auto authority = authority_of(home, session.membership().coordinator);
  if (!authority) {
    console.warn("The coordinator refuses it; its credential for secure aggregation counts for the other members until the "
                 "authority withdraws it: run `covey revoke " +
                 node.name + "` again with a --home that has the authority's key (" + one_line(authority.error().message) + ").");
    return {};
  }
  COVEY_TRY(const Withdrawals held, newest_withdrawals(session, home, *authority));
  if (names(held, node.signing)) {
    console.line("The authority withdrew its credential already (list " + std::to_string(held.number) + ").");
    return {};
  }
  COVEY_TRY(const Withdrawals next, withdraw(held, node.signing, *authority));
  COVEY_TRY_VOID(put_in_force(session, home, next));
  console.object(JsonObject()
                     .add("event", "withdrawn")
                     .add("node", node.name)
                     .add("signing", hex(node.signing.span()))
                     .add("list", next.number)
                     .add("epoch", next.epoch));
  console.line("The authority withdrew its credential (list " + std::to_string(next.number) +
               "): no member aggregates with it any more.");
  return {};
}

}  // namespace

Result<int> revoke_command(const RevokeOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const auto nodes, session->nodes());
  COVEY_TRY(const NodeSummary node, choose_node(nodes, options.node));
  COVEY_TRY(const Done done, session->ask_for<Done>(RevokeNode{options.node}));
  console.object(JsonObject().add("event", "revoked").add("node", options.node).add("text", done.text));
  console.line(one_line(done.text) +
               ". It is refused from now on. To let that site back in, make a new token; the site enrols with it in a new "
               "folder (covey-client --home NEW --token @FILE --name NAME), for its old identity stays revoked.");
  if (node.role == Role::kClient) COVEY_TRY_VOID(withdraw_credential(*session, options.home, node, console));
  return kExitOk;
}

}  // namespace covey::cli
