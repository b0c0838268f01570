// Whose lie spoils one sum after the other, where nothing proves whose: members of a job that were in every round which
// came to nothing for a lie. A part of them sits out until the rounds come to something; then fewer and fewer.
//
// Let one member lie, whenever it likes. It is in every spoiled round, so it stays among the suspects; from the second
// such round on, one of them at least rests, and the next one that is spoiled clears whoever of them rested. So of n
// members a job loses n + 1 rounds at most, and of one that always lies about 2 + n / spare. Where several lie, those that
// rest are drawn anew after each round until nobody that is left lies: by chance, without a bound of ours. What is only
// suspected is nobody's proven lie. Pure; docs/secure_aggregation.md, section 8.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "core/base/result.h"
#include "core/protocol/message.h"

namespace covey {

class Suspicion {
 public:
  // Round `round` came to nothing for a lie of one of `members`. `willing` could take part in the next, of whom `spare` need not.
  // A second word about the same round counts for nothing.
  struct Spoiled {
    std::uint32_t round = 0;
    std::set<PeerKey> members;
    std::vector<PeerKey> willing;  // ascending
    std::size_t spare = 0;
    std::uint64_t seed = 0;        // of the draw among equals
  };
  void spoiled(const Spoiled& how);
  // A round of these came to something. True: that changed what this says.
  bool committed(const std::set<PeerKey>& members);

  bool any() const { return spoiled_ > 0; }
  std::uint32_t rounds() const { return spoiled_; }
  const std::vector<PeerKey>& resting() const { return resting_; }  // the first of them first
  // Of those that rest, as many as may be missed where `there` are willing, them included, and `least` are needed.
  std::set<PeerKey> resting_of(const std::set<PeerKey>& there, std::size_t least) const;

  bool operator==(const Suspicion&) const = default;
  friend Bytes encode(const Suspicion& suspicion);
  friend Result<Suspicion> decode_suspicion(ByteSpan bytes);

 private:
  bool go_back();                    // true: to who rested when the rounds came to something
  std::uint32_t round_ = 0;          // the last one that was spoiled
  std::uint32_t spoiled_ = 0;        // rounds, in all
  std::uint32_t in_a_row_ = 0;       // of them, since one came to something
  std::uint32_t since_ = 0;          // rounds that came to something, since it was last changed who rests
  bool several_ = false;             // members lied: nobody was in all of the spoiled rounds
  std::set<PeerKey> suspects_;       // in each of the spoiled ones, since there was nobody left to suspect
  std::vector<PeerKey> resting_;
  std::vector<PeerKey> worked_;      // rested before half of them came back
};

Bytes encode(const Suspicion& suspicion);
// Errors: kCorrupted.
Result<Suspicion> decode_suspicion(ByteSpan bytes);

}  // namespace covey
