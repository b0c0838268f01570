// A client that lies: the production client underneath, with its words changed on their way out.
// Everything it sends is a well-formed frame from an enrolled key; see Lie in fault_plan.h.
#pragma once
#include <memory>

#include "core/base/random.h"
#include "core/crypto/signing_key.h"
#include "core/protocol/machine.h"
#include "sim/fault_plan.h"

namespace covey {

class LiarNode final : public Machine {
 public:
  struct Self {
    PeerKey coordinator;
    std::shared_ptr<const SigningKey> signing;  // shared: by every start of the node; what it lies about it signs
    Duration quiet_after{};                     // since the process started; floods end then
  };
  LiarNode(std::unique_ptr<Machine> client, Lie lie, const Self& self, Random random);
  Commands handle(const Event& event, Instant now) override;

 private:
  void change(UpdateReady& ready);
  void change(SecAggNote& note);
  void change(MaskUpdate& work) const;
  Message noise();
  Message forged();
  RoundKey some_round();
  Digest some_digest();

  std::unique_ptr<Machine> client_;
  Lie lie_;
  Self self_;
  Link coordinator_;
  Random random_;
  Instant started_;
  std::optional<UpdateReady> last_;  // what it said last: it says so again and again
};

// What its training gives, changed before it is kept: for the lies in the update itself.
// Errors: those of the blob store.
Result<WorkValue> lying_work(Lie lie, const Work& work, Result<WorkValue> honest, BlobStore& blobs);

// What its transfer sends; false: nothing.
bool tamper(Lie lie, Message& bulk);

}  // namespace covey
