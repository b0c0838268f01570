// Opening the sum: the survivors' own masks and the dropped members' keys out of their shares, and all of
// their masks out of the sum. Declared in secagg_server.h.
#include <algorithm>
#include <atomic>
#include <latch>
#include <numeric>
#include <optional>
#include <string>

#include "privacy/secagg_server.h"

namespace covey {
namespace {

struct OpenedItem {
  std::vector<MaskSeed> seeds;
  std::vector<std::uint32_t> wrong_holders;
  std::string lie;         // of its dealer, proven; "" where there is none, or a holder may have lied as well
  bool opened = false;
  bool committed = false;  // to what it is what the dealer committed to
};

bool is_the_secret(const SumRecovery& r, const SumRecovery::Item& item, const Secret<32>& secret) {
  if (item.kind == ShareKind::kSelfMask)
    return self_mask_commitment(r.cohort->id(), item.dealer, secret) == r.commitments[item.dealer];
  return AgreementKey::from_secret(secret.clone()).public_key() == r.cohort->entries()[item.dealer].masking_key;
}

constexpr std::size_t kChoicesMax = 5000;  // of shares to leave out, for one secret

// The next choice of as many places below `count`, ascending; false after the last.
bool next_choice(std::vector<std::size_t>& places, std::size_t count) {
  for (std::size_t i = places.size(); i-- > 0;) {
    if (places[i] == count - places.size() + i) continue;
    ++places[i];
    for (std::size_t k = i + 1; k < places.size(); ++k) places[k] = places[k - 1] + 1;
    return true;
  }
  return false;
}

// Several liars could make shares that agree with each other and leave an honest holder's out. But where so many agree
// that t - 1 of them are honest, these and the committed secret are t points, and the polynomial is the dealer's.
bool tells_wrong(const SumRecovery& r, std::size_t agreeing) {
  return agreeing + 1 >= std::size_t{r.cohort->graph().threshold} + r.corrupt_max;
}

struct Search {
  std::optional<Opened> opened;  // what the dealer committed to
  bool whole = true;             // every choice of shares to leave out was tried
};

// Correction needs two shares beyond the threshold for each wrong one. Where there are fewer, as in a cohort of
// five, what opens is told by its commitment: one more share is enough, with the wrong ones left out.
Search open_leaving_out(const SumRecovery& r, const SumRecovery::Item& item) {
  const std::size_t count = item.shares.size(), threshold = r.cohort->graph().threshold;
  if (count <= threshold) return {};
  const std::size_t most = std::min<std::size_t>(count - threshold, r.corrupt_max);
  std::size_t tried = 0;
  for (std::size_t left = (count - threshold) / 2 + 1; left <= most; ++left) {
    std::vector<std::size_t> out(left);
    std::iota(out.begin(), out.end(), std::size_t{0});
    do {
      if (++tried > kChoicesMax) return {std::nullopt, false};
      std::vector<Share> rest;
      for (std::size_t i = 0; i < count; ++i)
        if (!std::binary_search(out.begin(), out.end(), i)) rest.push_back(item.shares[i].clone());
      auto opened = open_exactly(rest, static_cast<std::uint32_t>(threshold));
      if (!opened || !is_the_secret(r, item, opened->secret)) continue;
      if (tells_wrong(r, count - left))
        for (const std::size_t i : out) opened->wrong.push_back(item.shares[i].x);
      return {std::move(*opened), true};
    } while (next_choice(out, count));
  }
  return {};
}

// The first threshold of shares is enough where all are right; only where they are not is decoding worth its time.
Search open_item(const SumRecovery& r, const SumRecovery::Item& item) {
  const std::uint32_t threshold = r.cohort->graph().threshold;
  if (item.shares.size() >= threshold) {
    auto opened = open_exactly(std::span(item.shares).first(threshold), threshold);
    if (opened && is_the_secret(r, item, opened->secret)) return {std::move(*opened), true};
  }
  auto corrected = open_correcting(item.shares, threshold);
  if (corrected && is_the_secret(r, item, corrected->secret)) {
    if (!tells_wrong(r, item.shares.size() - corrected->wrong.size())) corrected->wrong.clear();
    return {std::move(*corrected), true};
  }
  return open_leaving_out(r, item);
}

// What the shares say where they do not open what their dealer committed to. Its own share is its own word, which
// counts no more where the others' are enough without it.
std::optional<Opened> open_uncommitted(const SumRecovery& r, const SumRecovery::Item& item) {
  const std::uint32_t threshold = r.cohort->graph().threshold;
  std::vector<Share> others;
  for (const Share& share : item.shares)
    if (share.x != item.dealer + 1) others.push_back(share.clone());
  auto opened = open_correcting(others.size() >= threshold ? others : item.shares, threshold);
  if (!opened) return std::nullopt;
  opened->wrong.clear();  // whoever dealt a wrong secret may have dealt wrong shares of it, too
  return std::move(*opened);
}

// With A holders that may lie, t + A shares open an honest dealer's secret once the liars' are left out. Where every
// choice was tried in vain, it is the dealer that lied.
bool dealer_lied(const SumRecovery& r, const SumRecovery::Item& item, const Search& search) {
  return search.whole && item.shares.size() >= std::size_t{r.cohort->graph().threshold} + r.corrupt_max;
}

// Survivors added or subtracted their mask with the dropped member; the other way round takes it out.
void add_pair_seeds(const SumRecovery& r, std::uint32_t dealer, Secret<32> secret, OpenedItem& result) {
  const AgreementKey key = AgreementKey::from_secret(std::move(secret));
  const Digest set = hash_of(r.maskers);
  std::vector<std::uint32_t> masked;  // with the dropped member
  std::vector<AgreementPublicKey> keys;
  for (const std::uint32_t n : r.cohort->neighbours(dealer)) {
    if (!r.survivors.contains(n)) continue;
    masked.push_back(n);
    keys.push_back(r.cohort->entries()[n].masking_key);
  }
  const auto shared = key.shared_secrets(keys);
  result.opened = shared.has_value();  // who has a key of small order is no survivor: its neighbours refused to mask
  for (std::size_t i = 0; shared && i < masked.size(); ++i) {
    const Sign added = pair_sign(masked[i], dealer);
    result.seeds.push_back({mask_seed(r.cohort->id(), r.cohort->entries()[masked[i]], r.cohort->entries()[dealer], (*shared)[i], set),
                            added == Sign::kPlus ? Sign::kMinus : Sign::kPlus});
  }
}

// Each surviving neighbour's own word for what it masked with the dropped member. A wrong one is that neighbour's vector
// off by as much: a malformed input.
void add_told_seeds(const SumRecovery& r, const SumRecovery::Item& item, OpenedItem& result) {
  std::vector<MaskSeed> seeds;
  for (const std::uint32_t n : r.cohort->neighbours(item.dealer)) {
    if (!r.survivors.contains(n)) continue;
    const auto told = item.pair_seeds.find(n);
    if (told == item.pair_seeds.end()) return;
    seeds.push_back({told->second.clone(), pair_sign(n, item.dealer) == Sign::kPlus ? Sign::kMinus : Sign::kPlus});
  }
  result.seeds = std::move(seeds);
  result.opened = true;
}

OpenedItem seeds_of(const SumRecovery& r, const SumRecovery::Item& item) {
  OpenedItem result;
  Search search = open_item(r, item);
  result.committed = search.opened.has_value();
  const bool own_mask = item.kind == ShareKind::kSelfMask;
  if (!result.committed) {
    if (dealer_lied(r, item, search))
      result.lie = own_mask ? "dealt shares that do not open the mask it committed to" : "dealt shares that do not open its masking key";
    // A dropped member's masks are with its masking key, and with no other.
    if (!own_mask) {
      add_told_seeds(r, item, result);
      return result;
    }
    search.opened = open_uncommitted(r, item);
    if (!search.opened) return result;
  }
  result.opened = true;
  for (const std::uint32_t x : search.opened->wrong) result.wrong_holders.push_back(x - 1);
  if (own_mask)
    result.seeds.push_back({std::move(search.opened->secret), Sign::kMinus});
  else
    add_pair_seeds(r, item.dealer, std::move(search.opened->secret), result);
  return result;
}

// One wrong share is its dealer's lie or its holder's. But of the dealers no more than A lie: who revealed wrong shares of
// more than A secrets lied about an honest dealer's.
void judge_holders(const SumRecovery& r, const std::map<std::uint32_t, std::vector<std::uint32_t>>& wrong, Recovered& result) {
  std::vector<Blame> proven;
  for (const auto& [holder, dealers] : wrong)
    if (dealers.size() > r.corrupt_max)
      proven.push_back({holder, "revealed wrong shares of " + std::to_string(dealers.size()) + " members' secrets, of whom no more than " +
                                    std::to_string(r.corrupt_max) + " may have dealt it wrong ones"});
  const bool sound = proven.size() <= r.corrupt_max;  // else more lie than the terms say, and nothing is proven
  if (sound) result.blame = std::move(proven);
  for (const auto& [holder, dealers] : wrong)
    if (!sound || dealers.size() <= r.corrupt_max)
      for (const std::uint32_t dealer : dealers) result.disputed.push_back({dealer, holder});
}

}  // namespace

Recovered recover(const SumRecovery& r, WorkerPool& pool) {
  std::vector<OpenedItem> opened(r.items.size());
  std::atomic<std::size_t> next{0};
  std::latch done(static_cast<std::ptrdiff_t>(pool.size()));
  for (std::size_t i = 0; i < pool.size(); ++i)
    pool.submit([&] {
      for (std::size_t at = next++; at < opened.size(); at = next++) opened[at] = seeds_of(r, r.items[at]);
      done.count_down();
    });
  done.wait();
  Recovered result;
  result.plan = {r.cohort->id().sid, r.cohort->cipher(), r.vectors, {}};
  std::string closed;
  std::map<std::uint32_t, std::vector<std::uint32_t>> wrong;  // dealers, by holder
  for (std::size_t i = 0; i < opened.size(); ++i) {
    const std::uint32_t dealer = r.items[i].dealer;
    if (!opened[i].opened) closed += (closed.empty() ? "" : ", ") + std::to_string(dealer);
    const bool dropped = r.items[i].kind == ShareKind::kMaskingKey;
    if (dropped && !opened[i].opened) result.unopened.push_back(dealer);
    if (dropped && opened[i].opened && !opened[i].committed) result.mended.push_back(dealer);
    if (!dropped && !opened[i].committed) result.doubted.push_back(dealer);
    if (!opened[i].lie.empty()) result.liars.push_back({dealer, opened[i].lie});
    for (MaskSeed& seed : opened[i].seeds) result.plan.seeds.push_back(std::move(seed));
    for (const std::uint32_t holder : opened[i].wrong_holders) wrong[holder].push_back(dealer);
  }
  judge_holders(r, wrong, result);
  // More of them than may lie: then it was holders, more than may lie, and no dealer's lie is proven.
  if (result.liars.size() > r.corrupt_max) result.liars.clear();
  if (closed.empty()) return result;
  result.plan.seeds.clear();
  result.closed = "the secrets of members " + closed + " cannot be opened: their dealers or too many holders lied. Nothing is released";
  return result;
}

MaskedSum::MaskedSum(const std::vector<VectorSpec>& vectors) : vectors_(vectors) {
  for (const VectorSpec& vector : vectors_) sums_.emplace_back(Ring::of_width(vector.width)->words(vector.values));
}

Result<void> MaskedSum::add(std::size_t vector, std::uint64_t first_word, std::span<const std::uint64_t> words) {
  if (vector >= sums_.size() || first_word > sums_[vector].size() || words.size() > sums_[vector].size() - first_word)
    return unexpected(ErrorCode::kInvalidMessage, std::to_string(words.size()) + " words after word " + std::to_string(first_word) +
                                                      " are not within vector " + std::to_string(vector));
  combine(std::span(sums_[vector]).subspan(first_word, words.size()), words, Sign::kPlus, *Ring::of_width(vectors_[vector].width));
  return {};
}

void MaskedSum::unmask(const MaskPlan& plan, WorkerPool& pool) {
  COVEY_CHECK(plan.vectors == vectors_);
  for (std::size_t v = 0; v < sums_.size(); ++v)
    apply_masks({sums_[v], 0}, terms_of(plan, v), *Ring::of_width(vectors_[v].width), plan.cipher, pool);
}

std::vector<std::int64_t> MaskedSum::values(std::size_t vector) const {
  return unpack(sums_.at(vector), vectors_[vector].values, *Ring::of_width(vectors_[vector].width));
}

}  // namespace covey
