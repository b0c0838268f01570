// A member that follows the protocol but for what it deals: its SecAggClient draws from a seed, so that a test knows its
// secrets and can deal them again as a liar would.
#pragma once
#include "privacy/secagg_client.h"
#include "tests/privacy/test_bytes.h"

namespace covey {

// In the order in which a SecAggClient draws them.
struct DealerSecrets {
  explicit DealerSecrets(std::uint64_t seed) : DealerSecrets(SeededBytes(seed)) {}
  RistrettoKey sealing_key;
  AgreementKey masking_key;
  Secret<32> self_mask;

 private:
  explicit DealerSecrets(SeededBytes bytes)
      : sealing_key(RistrettoKey::generate(bytes)), masking_key(AgreementKey::generate(bytes)), self_mask(Secret<32>::random(bytes)) {}
};

struct DealerLies {
  bool commitment = false;       // to another b than it shares and masks with
  bool self_mask = false;        // shares another b than it committed to and masks with
  bool self_polynomial = false;  // shares of b on no polynomial
  bool self_one = false;         // one neighbour's share of b, the first one's, is wrong
  bool masking_key = false;      // shares another skM than it masks with
  bool key_polynomial = false;   // shares of skM on no polynomial
};

struct LyingDealer {
  std::uint64_t seed;
  DealerLies lies;
  const SigningKey& key;

  // Instead of what its machine says to a roster.
  Bytes instead_of(const Bytes& honest, const SecAggCohort& cohort) const {
    auto message = std::get<SharesMessage>(*decode_secagg_message(honest));
    const bool deals_anew = lies.self_mask || lies.self_polynomial || lies.masking_key || lies.key_polynomial;
    if (deals_anew) return encode(SecAggMessage(shares(cohort, message.member)));
    if (lies.self_one) message.sealed[0] = shares(cohort, message.member).sealed[0];  // on its own polynomial, another
    if (lies.commitment) message.commitment.bytes[0] ^= 1;
    message.signature = key.sign(kSharesDomain, shares_statement(message.id, message.member, message.commitment, merkle_root(message.sealed)));
    return encode(SecAggMessage(message));
  }
  // The share of its own stays as its machine dealt it, which is a wrong one then.
  SharesMessage shares(const SecAggCohort& cohort, std::uint32_t place) const {
    const DealerSecrets own(seed);
    SeededBytes bytes(seed + 1);
    const RosterEntry& entry = cohort.entries()[place];
    COVEY_CHECK(entry.sealing_key == own.sealing_key.public_key() && entry.masking_key == own.masking_key.public_key());
    const std::vector<std::uint32_t> neighbours = cohort.neighbours(place);
    std::vector<std::uint32_t> xs;
    for (const std::uint32_t neighbour : neighbours) xs.push_back(neighbour + 1);
    const std::uint32_t threshold = cohort.graph().threshold;
    const AgreementKey other = AgreementKey::generate(bytes);
    const Secret<32> wrong = Secret<32>::random(bytes);
    const auto of_key = deal(lies.masking_key ? other.secret() : own.masking_key.secret(), threshold, xs, bytes);
    const auto of_mask = deal(lies.self_mask ? wrong : own.self_mask, threshold, xs, bytes);
    // Any others: each holder's is as good as chance.
    const auto no_key = deal(own.masking_key.secret(), threshold, xs, bytes), no_mask = deal(own.self_mask, threshold, xs, bytes);
    SharesMessage message;
    message.id = cohort.id();
    message.member = place;
    message.commitment = self_mask_commitment(message.id, place, lies.commitment ? wrong : own.self_mask);
    for (std::size_t i = 0; i < neighbours.size(); ++i) {
      const RosterEntry& to = cohort.entries()[neighbours[i]];
      const bool odd = i % 2 == 1;
      message.sealed.push_back(seal_shares({message.id, entry, to, place, neighbours[i]},
                                           {(lies.key_polynomial && odd ? no_key[i] : of_key[i]).clone(),
                                            (lies.self_polynomial && odd ? no_mask[i] : of_mask[i]).clone()},
                                           *own.sealing_key.shared_point(to.sealing_key), bytes));
    }
    message.signature = key.sign(kSharesDomain, shares_statement(message.id, place, message.commitment, merkle_root(message.sealed)));
    return message;
  }
};

}  // namespace covey
