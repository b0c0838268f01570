// Sets of members and trees of sealed shares, as secagg_messages.h declares them.
#include <bit>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "privacy/secagg_messages.h"

namespace covey {

Result<MemberSet> MemberSet::from_bits(std::uint32_t members, ByteSpan bits) {
  if (bits.size() != (members + 7) / 8 || (members % 8 != 0 && !bits.empty() && bits.back() >> (members % 8) != 0))
    return unexpected(ErrorCode::kInvalidMessage, "a set of " + std::to_string(members) + " members has other bits than theirs");
  MemberSet set(members);
  set.bits_.assign(bits.begin(), bits.end());
  return set;
}
void MemberSet::insert(std::uint32_t i) {
  COVEY_CHECK(i < members_);
  bits_[i / 8] = static_cast<std::uint8_t>(bits_[i / 8] | (1U << (i % 8)));
}
void MemberSet::remove(std::uint32_t i) {
  COVEY_CHECK(i < members_);
  bits_[i / 8] = static_cast<std::uint8_t>(bits_[i / 8] & ~(1U << (i % 8)));
}
std::uint32_t MemberSet::count() const {
  std::uint32_t count = 0;
  for (const std::uint8_t byte : bits_) count += static_cast<std::uint32_t>(std::popcount(byte));
  return count;
}
bool MemberSet::subset_of(const MemberSet& other) const {
  if (members_ != other.members_) return false;
  for (std::size_t i = 0; i < bits_.size(); ++i)
    if ((bits_[i] & ~other.bits_[i]) != 0) return false;
  return true;
}

Digest hash_of(const MemberSet& set) {
  ByteWriter in;
  in.text("covey secagg set v1").u32(set.members()).raw(set.bits());
  return sha256(in.bytes());
}

namespace {

Digest node_hash(const Digest& left, const Digest& right) {
  ByteWriter in;
  in.u8(1).fixed(left).fixed(right);
  return blake2b_256(in.bytes());
}

std::vector<Digest> leaf_hashes(std::span<const SealedShares> leaves) {
  std::vector<Digest> level;
  level.reserve(leaves.size());
  for (const SealedShares& leaf : leaves) level.push_back(leaf_hash(leaf));
  return level;
}

void climb(std::vector<Digest>& level) {
  std::size_t out = 0;
  for (std::size_t i = 0; i < level.size(); i += 2)
    level[out++] = i + 1 < level.size() ? node_hash(level[i], level[i + 1]) : level[i];
  level.resize(out);
}

}  // namespace

Digest leaf_hash(const SealedShares& leaf) {
  ByteWriter in;
  in.u8(0).fixed(leaf);
  return blake2b_256(in.bytes());
}

Digest merkle_root(std::span<const SealedShares> leaves) {
  if (leaves.empty()) return {};
  std::vector<Digest> level = leaf_hashes(leaves);
  while (level.size() > 1) climb(level);
  return level[0];
}

std::vector<Digest> merkle_path(std::span<const SealedShares> leaves, std::uint32_t place) {
  COVEY_CHECK(place < leaves.size());
  std::vector<Digest> level = leaf_hashes(leaves), path;
  for (std::size_t at = place; level.size() > 1; at /= 2) {
    const std::size_t sibling = at ^ 1;
    if (sibling < level.size()) path.push_back(level[sibling]);
    climb(level);
  }
  return path;
}

std::optional<Digest> root_of_path(const Digest& leaf, std::uint32_t place, std::uint32_t leaves,
                                   std::span<const Digest> path) {
  if (place >= leaves) return std::nullopt;
  Digest node = leaf;
  std::size_t used = 0;
  for (std::uint64_t at = place, width = leaves; width > 1; at /= 2, width = (width + 1) / 2) {
    if ((at ^ 1) >= width) continue;  // carried up
    if (used == path.size()) return std::nullopt;
    node = at % 2 == 0 ? node_hash(node, path[used]) : node_hash(path[used], node);
    ++used;
  }
  if (used != path.size()) return std::nullopt;
  return node;
}

}  // namespace covey
