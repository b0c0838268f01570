// A node's own keys and certificate in its folder: signing.key and curve.key (0600), membership.bin
// (its certificate and its coordinator), key-change.bin (of an operator: the newest change of its
// coordinator's key). Keys are durable before anyone hears of them, so that a lost
// answer to an enrolment can be asked for again.
#pragma once
#include <optional>
#include <string>

#include "core/base/secure_random.h"
#include "core/protocol/key_change.h"

namespace covey {

struct NodeKeys {
  SigningKey signing;
  CurveKey curve;
};

// Loads the keys in `folder`, or makes and saves them. The folder is made with mode 0700.
Result<NodeKeys> load_or_make_keys(const std::string& folder, SecureRandom& random);
Result<NodeKeys> load_keys(const std::string& folder);

struct Membership {
  Certificate certificate;
  CoordinatorAddress coordinator;
};
// Nothing when the folder holds none yet. Errors: kCorrupted.
Result<std::optional<Membership>> load_membership(const std::string& folder);
// The change that save_key_change kept, verified against the membership's keys; nothing when there is none.
// Errors: kCorrupted, kPermissionDenied.
Result<std::optional<KeyChange>> load_key_change(const std::string& folder, const Membership& membership);
// Verifies it and keeps it, unless one as new is there. True: kept. Errors: kPermissionDenied.
Result<bool> save_key_change(const std::string& folder, const Membership& membership, const KeyChange& change);
// A key change in a file of its own, as `covey rotate-key --save` writes it, verified against `coordinator`.
Result<KeyChange> read_key_change(const std::string& path, const CoordinatorAddress& coordinator);
Result<void> save_membership(const std::string& folder, const Membership& membership);

// The certificate that `token` lets these keys have under `name`.
Certificate certificate_for(const JoinToken& token, const NodeKeys& keys, const std::string& name);

}  // namespace covey
