#include "privacy/round_terms.h"

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {

std::string_view stage_of(RoundKind kind) { return kind == RoundKind::kTrain ? "train" : "evaluate"; }

Digest task_of(const Digest& config) {
  ByteWriter in;
  in.text("covey secagg task v1").fixed(config);
  return sha256(in.bytes());
}

ClientTerms terms_of(const SecureRound& round, std::vector<VectorSpec> vectors) {
  ClientTerms terms;
  terms.task = task_of(round.config);
  terms.round = round.key.round;
  terms.stage = std::string(stage_of(round.kind));
  terms.data_scope = std::string(kDataScope);
  terms.model = round.model;
  terms.training = round.config;
  terms.vectors = std::move(vectors);
  return terms;
}

}  // namespace covey
