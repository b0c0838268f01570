// covey nodes, revoke.
#include <algorithm>
#include <tuple>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/renewal.h"
#include "coordinator/cli/session.h"
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
    console.note("Jobs with secure aggregation select only those that are vouched for: `covey vouch`, where the authority's key is.");
  if (!clients) console.line("No client has enrolled yet; make a join token with `covey token`.");
  return kExitOk;
}

Result<int> revoke_command(const RevokeOptions& options, Console& console) {
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.home, blobs));
  COVEY_TRY(const Done done, session->ask_for<Done>(RevokeNode{options.node}));
  console.object(JsonObject().add("event", "revoked").add("node", options.node).add("text", done.text));
  console.line(one_line(done.text) +
               ". It is refused from now on. To let that site back in, make a new token; the site enrols with it in a new "
               "folder (covey-client --home NEW --token @FILE --name NAME), for its old identity stays revoked.");
  return kExitOk;
}

}  // namespace covey::cli
