#include "coordinator/cli/vouching.h"

#include <algorithm>
#include <set>

#include "coordinator/cli/token.h"
#include "coordinator/cli/withdrawing.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

constexpr std::size_t kKeyDigitsMin = 6;
constexpr std::size_t kAwayNamed = 5;

bool meant(const Certificate& node, const std::string& text) {
  return node.name == text || (text.size() >= kKeyDigitsMin && hex(node.curve.span()).starts_with(text));
}

Result<void> judge(const Certificate& certificate, const VerifyKey& authority) {
  COVEY_TRY_VOID(verify(certificate, authority));
  if (certificate.role() == Role::kClient) return {};
  return unexpected(ErrorCode::kPermissionDenied, std::string("it has the role ") + name_of(certificate.role()));
}

void say_vouched(const Certificate& node, const MemberCredential& credential, Console& console) {
  console.object(JsonObject()
                     .add("event", "vouched")
                     .add("node", node.name)
                     .add("key", hex(node.curve.span()))
                     .add("signing", hex(node.signing.span()))
                     .add("subject", hex(credential.subject.span()))
                     .add("epoch", credential.epoch));
  console.line("Vouched for " + node.name + ", signing key " + hex(node.signing.span()));
}

}  // namespace

Candidates judge(const std::vector<Certificate>& certificates, const VerifyKey& authority) {
  Candidates candidates;
  for (const Certificate& certificate : certificates) {
    if (const auto sound = judge(certificate, authority); !sound)
      candidates.unsound.push_back(setting_text(certificate.name) + ": " + sound.error().message);
    else
      candidates.sound.push_back(certificate);
  }
  return candidates;
}

ChosenNodes choose(const std::vector<Certificate>& sound, const std::vector<std::string>& wanted) {
  if (wanted.empty()) return {sound, {}};
  ChosenNodes chosen;
  for (const std::string& text : wanted)
    if (std::none_of(sound.begin(), sound.end(), [&](const Certificate& node) { return meant(node, text); }))
      chosen.missing.push_back(text);
  for (const Certificate& node : sound)
    if (std::any_of(wanted.begin(), wanted.end(), [&](const std::string& text) { return meant(node, text); }))
      chosen.certificates.push_back(node);
  return chosen;
}

ByPresence by_presence(std::vector<Certificate> sound, const std::vector<NodeSummary>& nodes) {
  std::set<PeerKey> connected;
  for (const NodeSummary& node : nodes)
    if (node.connected) connected.insert(node.key);
  ByPresence clients;
  for (Certificate& one : sound) (connected.contains(one.curve) ? clients.connected : clients.away).push_back(std::move(one));
  return clients;
}

Result<std::size_t> vouch_for(Session& session, const Voucher& voucher, const std::vector<Certificate>& nodes,
                              Console& console) {
  std::size_t issued = 0;
  for (std::size_t begin = 0; begin < nodes.size(); begin += kVouchPageRowsMax) {
    const std::size_t end = std::min(nodes.size(), begin + kVouchPageRowsMax);
    IssueCredentials page;
    for (std::size_t i = begin; i < end; ++i)
      page.credentials.push_back({nodes[i].curve, credential_for(nodes[i], voucher.authority, voucher.epoch)});
    const auto whole = session.ask_for<Done>(page);
    if (!whole && whole.error().code == ErrorCode::kUnavailable) return unexpected(whole.error());
    for (std::size_t i = begin; i < end; ++i) {
      const NodeCredential& one = page.credentials[i - begin];
      if (!whole) {
        const auto done = session.ask_for<Done>(IssueCredentials{{one}});
        if (!done && done.error().code == ErrorCode::kUnavailable) return unexpected(done.error());
        if (!done) {
          console.warn("Not vouched for " + nodes[i].name + ": " + one_line(done.error().message));
          continue;
        }
      }
      ++issued;
      say_vouched(nodes[i], one.credential, console);
    }
  }
  return issued;
}

Result<void> vouch_for_job(Session& session, const std::string& home, const JobSpec& job, Console& console) {
  if (!job.privacy.secure_aggregation) return {};
  const auto authority = authority_of(home, session.membership().coordinator);
  Withdrawals list;
  if (authority) {  // also where nobody is without a credential
    COVEY_TRY(list, newest_withdrawals(session, home, *authority));
  }
  COVEY_TRY(const std::vector<Certificate> unvouched, session.unvouched());
  if (unvouched.empty()) return {};
  if (!authority) {
    console.warn(std::to_string(unvouched.size()) +
                 " clients have no credential for secure aggregation, and the job selects none without; run `covey vouch --all` "
                 "with a --home that has the authority's key (" +
                 one_line(authority.error().message) + ").");
    return {};
  }
  const Candidates candidates = judge(unvouched, authority->public_key());
  for (const std::string& unsound : candidates.unsound)
    console.warn("Not vouched for, the coordinator's certificate of it does not hold: " + one_line(unsound));
  COVEY_TRY(const auto nodes, session.nodes());
  const ByPresence clients = by_presence(candidates.sound, nodes);
  if (!clients.connected.empty())
    console.note("A job with secure aggregation takes only clients that the authority vouches for; signing for those that are "
                 "connected and have no credential (--no-vouch: do not):");
  COVEY_TRY_VOID(vouch_for(session, {*authority, list.epoch}, clients.connected, console));
  if (!clients.away.empty()) {
    std::string names;
    for (std::size_t i = 0; i < std::min(clients.away.size(), kAwayNamed); ++i) names += " " + clients.away[i].name;
    console.warn("Not vouched for, because they are not connected:" + names + (clients.away.size() > kAwayNamed ? " ..." : "") +
                 ". To let them take part, too: `covey vouch" + names + "`.");
  }
  return {};
}

}  // namespace covey::cli
