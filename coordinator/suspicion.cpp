#include "coordinator/suspicion.h"

#include <algorithm>
#include <iterator>

#include "core/base/random.h"
#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint32_t kOnce = 1;          // spoiled rounds for which nobody rests: a disk or a memory may have erred
constexpr std::uint32_t kOneLiarRounds = 3; // in a row, after which one liar alone is not what is reckoned with

template <class Peers>
void put_peers(ByteWriter& out, const Peers& peers) {
  out.u32(static_cast<std::uint32_t>(peers.size()));
  for (const PeerKey& peer : peers) out.fixed(peer);
}

}  // namespace

void Suspicion::spoiled(const Spoiled& how) {
  if (how.round == round_) return;
  round_ = how.round;
  ++spoiled_;
  ++in_a_row_;
  since_ = 0;
  std::set<PeerKey> both;
  std::set_intersection(suspects_.begin(), suspects_.end(), how.members.begin(), how.members.end(), std::inserter(both, both.end()));
  several_ = several_ || (spoiled_ > 1 && both.empty());
  suspects_ = both.empty() ? how.members : std::move(both);
  if (go_back()) return;
  worked_.clear();
  resting_.clear();
  if (spoiled_ <= kOnce) return;
  std::vector<PeerKey> first, others;
  for (const PeerKey& peer : how.willing) (suspects_.contains(peer) ? first : others).push_back(peer);
  Random random = Random(how.seed).split("suspicion", spoiled_);
  random.shuffle(std::span(first));
  const std::size_t half = (first.size() + 1) / 2;
  if (in_a_row_ >= kOneLiarRounds) {  // and as many of all the others as can be missed
    others.insert(others.end(), first.begin() + static_cast<std::ptrdiff_t>(half), first.end());
    random.shuffle(std::span(others));
  } else {
    others.clear();
  }
  first.resize(half);
  first.insert(first.end(), others.begin(), others.end());
  first.resize(std::min(first.size(), how.spare));
  resting_ = std::move(first);
}

// Somebody came back, and with that the sums are spoiled again: then they are out again, the first of those that stay so.
// Where one member alone may have lied, and none of them is a suspect any more, that helps nothing.
bool Suspicion::go_back() {
  const auto suspected = [&](const PeerKey& peer) { return suspects_.contains(peer); };
  const bool helps = several_ || std::any_of(worked_.begin(), worked_.end(), suspected);
  if (worked_.size() <= resting_.size() || !helps) return false;
  std::stable_partition(worked_.begin(), worked_.end(), [&](const PeerKey& peer) {
    return std::find(resting_.begin(), resting_.end(), peer) == resting_.end();
  });
  if (!several_) std::stable_partition(worked_.begin(), worked_.end(), suspected);
  resting_ = worked_;
  return true;
}

// A liar may keep quiet while somebody else rests. So who rests comes back slowly, and the more slowly the more rounds were lost.
bool Suspicion::committed(const std::set<PeerKey>& members) {
  if (!any()) return false;
  in_a_row_ = 0;
  std::erase_if(resting_, [&](const PeerKey& peer) { return members.contains(peer); });
  if (++since_ >= spoiled_ && resting_.size() > 1) {
    worked_ = resting_;
    resting_.resize((resting_.size() + 1) / 2);
    since_ = 0;
  }
  return true;
}

std::set<PeerKey> Suspicion::resting_of(const std::set<PeerKey>& there, std::size_t least) const {
  const std::size_t spare = there.size() > least ? there.size() - least : 0;
  std::set<PeerKey> rest;
  for (const PeerKey& peer : resting_)
    if (rest.size() < spare && there.contains(peer)) rest.insert(peer);
  return rest;
}

Bytes encode(const Suspicion& s) {
  ByteWriter out;
  out.u8(kVersion).u32(s.round_).u32(s.spoiled_).u32(s.in_a_row_).u32(s.since_).boolean(s.several_);
  put_peers(out, s.suspects_);
  put_peers(out, s.resting_);
  put_peers(out, s.worked_);
  return out.take();
}

Result<Suspicion> decode_suspicion(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kVersion) in.refuse();
  Suspicion s;
  s.round_ = in.u32();
  s.spoiled_ = in.u32();
  s.in_a_row_ = in.u32();
  s.since_ = in.u32();
  s.several_ = in.boolean();
  const std::size_t suspects = in.count(32);
  for (std::size_t i = 0; i < suspects; ++i) {
    const auto peer = in.fixed<PeerKey>();
    if (!s.suspects_.empty() && *s.suspects_.rbegin() >= peer) in.refuse();
    s.suspects_.insert(s.suspects_.end(), peer);
  }
  for (std::vector<PeerKey>* const list : {&s.resting_, &s.worked_}) {
    const std::size_t count = in.count(32);
    for (std::size_t i = 0; i < count; ++i) list->push_back(in.fixed<PeerKey>());
    const std::set<PeerKey> distinct(list->begin(), list->end());
    if (distinct.size() != list->size()) in.refuse();
  }
  if (s.spoiled_ == 0 || s.in_a_row_ > s.spoiled_) in.refuse();
  COVEY_TRY_VOID(in.finish("suspicion"));
  return s;
}

}  // namespace covey
