// The folders that `covey init` makes, and what lies in them (docs/identity.md):
//   authority/    authority.key (0600): signs tokens. Keep it away from the coordinator's machine.
//   coordinator/  curve.key (key_folder.h has the others), record.key, address.bin, operators/*.cert and
//                 *.renewal, coordinator.toml, data/
//   operator/     the operator's own node: signing.key, curve.key, membership.bin
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/protocol/key_change.h"

namespace covey {

// $COVEY_HOME, else ~/.covey, else ./.covey.
std::string default_home();

std::string authority_folder(const std::string& home);
std::string coordinator_folder(const std::string& home);
std::string operator_folder(const std::string& home);

struct InitRequest {
  std::string home;
  std::string host = "127.0.0.1";  // as clients reach it
  std::uint16_t control_port = 7700;
  std::uint16_t bulk_port = 7701;
  std::string operator_name = "operator";
};
// Makes all three. The first operator is a member for kMembershipMax. Errors: kAlreadyExists (keys are never overwritten) naming the folder.
Result<CoordinatorAddress> init_home(const InitRequest& request);

Result<SigningKey> load_authority(const std::string& home);

// What the coordinator process reads from its folder.
struct CoordinatorHome {
  CurveKey curve;                            // served; while a change lasts, the key before it
  std::shared_ptr<const SigningKey> record;  // shared: as CoordinatorConfig::record_key
  CoordinatorAddress address;                // as tokens carry it: after the newest change
  std::vector<KeyChange> changes;            // of the CURVE key, ascending
  std::vector<Certificate> operators;  // of operators/*.cert
  std::vector<Renewal> renewals;       // of operators/*.renewal
};
// Every CURVE key that this coordinator has or had: its own and those of its changes.
std::vector<PeerKey> known_keys(const CoordinatorHome& home);
// The change that lasts, if one does: its key before is `home.curve`.
const KeyChange* change_under_way(const CoordinatorHome& home);
Result<CoordinatorHome> load_coordinator_home(const std::string& folder);
// Whether every certificate in `folder`/operators is whole and of this authority. Asked at a start, also where the store
// knows the operators: the file is needed when data/ is lost. Errors: kInvalidData with the path and the remedy.
Result<void> check_operators(const std::string& folder, const VerifyKey& authority);

}  // namespace covey
