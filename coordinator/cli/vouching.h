// Vouching for clients: the authority's key signs which node is which member of secure aggregation. The
// coordinator is not trusted with it: it gives whole certificates, and each chain is verified here.
#pragma once
#include <string>
#include <vector>

#include "coordinator/cli/console.h"
#include "coordinator/cli/session.h"
#include "core/protocol/job_spec.h"

namespace covey::cli {

// Certificates as the coordinator gives them, sorted by what the authority made of them.
struct Candidates {
  std::vector<Certificate> sound;     // clients that the authority let in by a token
  std::vector<std::string> unsound;   // "name: why"; nobody signs for these
};
Candidates judge(const std::vector<Certificate>& certificates, const VerifyKey& authority);

// Those of `sound` that are meant: each text is a name, or at least 6 hex digits of a key; none: all.
// `missing` are the texts that meant none.
struct ChosenNodes {
  std::vector<Certificate> certificates;
  std::vector<std::string> missing;
};
ChosenNodes choose(const std::vector<Certificate>& sound, const std::vector<std::string>& wanted);

// What vouching needs: the authority, and the epoch that its newest list of withdrawn credentials says.
struct Voucher {
  const SigningKey& authority;
  std::uint32_t epoch = kCredentialEpochFirst;
};
// Credentials of that epoch for those, which the coordinator keeps and hands out; says each. Where
// a page of them is refused, its credentials are issued one by one and what is refused is warned of.
// Gives how many were issued. Errors: those of the session but for refusals.
Result<std::size_t> vouch_for(Session& session, const Voucher& voucher, const std::vector<Certificate>& nodes,
                              Console& console);

// Of `sound`, those whose node is connected now, and those that are not.
struct ByPresence {
  std::vector<Certificate> connected, away;
};
ByPresence by_presence(std::vector<Certificate> sound, const std::vector<NodeSummary>& nodes);

// Before a job of this kind is submitted: vouches for the connected clients that have no credential where the
// authority's key is in `home`, and names each, and those left out; elsewhere says the command to run where the
// key is. Nothing for a plain job.
Result<void> vouch_for_job(Session& session, const std::string& home, const JobSpec& job, Console& console);

}  // namespace covey::cli
