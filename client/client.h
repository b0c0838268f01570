// A client of one coordinator: joins, takes part in rounds, rejoins as itself. Pure (core/protocol/machine.h).
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "client/eligibility.h"
#include "core/base/batch.h"
#include "core/base/random.h"
#include "core/base/secure_random.h"
#include "core/protocol/key_change.h"
#include "core/protocol/machine.h"
#include "core/protocol/version.h"
#include "privacy/secagg_terms.h"

namespace covey {

class PublicWork;

struct ClientConfig {
  Link coordinator;            // {its pinned key, 1}
  Capability capability;
  Policy policy;               // the site's own, see eligibility.h
  std::uint64_t instance = 0;  // random per start
  // Its own, and the pinned key that renewals must be signed with. Without them it warns of no end
  // and refuses every renewal.
  std::optional<Certificate> certificate = {};
  VerifyKey authority = {};
  VerifyKey record = {};       // pinned too: of which coordinator a key change must be
  // Its own signing key, as in the certificate: what it signs with in secure aggregation. Shared: one
  // configuration serves several starts. Without it, it takes no part in any.
  std::shared_ptr<const SigningKey> signing = {};
  ClientPolicy secure = {};     // what it insists on there; its authority is set to the one above
  // Its fresh keys there; a simulation gives one with a seed. Shared, as the key above.
  std::shared_ptr<SecureRandom> random = std::make_shared<SystemRandom>();
  std::shared_ptr<PublicWork> public_work = {};  // shared by all machines of a simulation; none: its own
  bool has_aes = true;                // this machine's AES instructions; without them masks are ChaCha20's
  ProtocolRange protocol = {};  // what it speaks; a coordinator that speaks none of it is refused
  Duration rejoin_min = std::chrono::milliseconds(500);  // doubles up to rejoin_max, with jitter from `instance`
  Duration rejoin_max = std::chrono::seconds(30);
};

class Client final : public Machine {
 public:
  // `rows`: everything its store holds (an update made but not yet accepted survives a restart).
  // Errors: kCorrupted naming the row; kInvalidArgument for waits that are not positive or not in order,
  // and for a signing key that is not the certificate's.
  static Result<std::unique_ptr<Client>> create(ClientConfig config, const std::vector<Row>& rows);
  ~Client() override;
  Commands handle(const Event& event, Instant now) override;
  // By what the authority signed for this node, and by `now`; false without a certificate.
  bool membership_stands(Instant now) const;

 private:
  class State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The newest change of the coordinator's key among `rows`, not verified; and as a row, for one that came by
// another way than the network. Errors: kCorrupted.
Result<std::optional<KeyChange>> key_change_in(const std::vector<Row>& rows);
Row key_change_row(const KeyChange& change);

// The blobs that `rows` need: after a crash, everything else in a client's blob store is garbage.
// Errors: kCorrupted naming the row.
Result<std::vector<Digest>> referenced_blobs(const std::vector<Row>& rows);

}  // namespace covey
