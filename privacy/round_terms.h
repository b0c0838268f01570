// What coordinator and members alike make out of a round of a job: the terms of its secure aggregation.
#pragma once
#include <string_view>

#include "core/protocol/message.h"
#include "privacy/secagg_terms.h"

namespace covey {

struct SecureRound {
  RoundKey key;
  RoundKind kind = RoundKind::kTrain;
  Digest config;  // the job's public configuration
  Digest model;   // the offered manifest
};
inline SecureRound secure_round(const RoundOffer& offer) {
  return {offer.key, offer.kind, offer.config.id, offer.model.id};
}

// The pipeline's fixed list of masked sums.
std::string_view stage_of(RoundKind kind);  // "train", "evaluate"
// A member's data is one: two jobs that describe it differently still speak about the same.
inline constexpr std::string_view kDataScope = "data";
// Names the work that a job's rounds belong to, by its configuration.
Digest task_of(const Digest& config);

ClientTerms terms_of(const SecureRound& round, std::vector<VectorSpec> vectors);

}  // namespace covey
