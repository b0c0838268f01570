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
  bool opened = false;
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

// Correction needs two shares beyond the threshold for each wrong one. Where there are fewer, as in a cohort of
// five, what opens is told by its commitment: one more share is enough, with the wrong ones left out.
std::optional<Opened> open_leaving_out(const SumRecovery& r, const SumRecovery::Item& item) {
  const std::size_t count = item.shares.size(), threshold = r.cohort->graph().threshold;
  if (count <= threshold) return std::nullopt;
  const std::size_t most = std::min<std::size_t>(count - threshold, r.corrupt_max);
  std::size_t tried = 0;
  for (std::size_t left = (count - threshold) / 2 + 1; left <= most; ++left) {
    std::vector<std::size_t> out(left);
    std::iota(out.begin(), out.end(), std::size_t{0});
    do {
      if (++tried > kChoicesMax) return std::nullopt;
      std::vector<Share> rest;
      for (std::size_t i = 0; i < count; ++i)
        if (!std::binary_search(out.begin(), out.end(), i)) rest.push_back(item.shares[i].clone());
      auto opened = open_exactly(rest, static_cast<std::uint32_t>(threshold));
      if (!opened || !is_the_secret(r, item, opened->secret)) continue;
      // Several liars could make shares that agree with each other: an honest member is not named for theirs.
      if (r.corrupt_max == 1 || count - left >= threshold + r.corrupt_max)
        for (const std::size_t i : out) opened->wrong.push_back(item.shares[i].x);
      return std::move(*opened);
    } while (next_choice(out, count));
  }
  return std::nullopt;
}

// The first threshold of shares is enough where all are right; only where they are not is decoding worth its time.
Result<Opened> open_item(const SumRecovery& r, const SumRecovery::Item& item) {
  const std::uint32_t threshold = r.cohort->graph().threshold;
  if (item.shares.size() >= threshold) {
    auto opened = open_exactly(std::span(item.shares).first(threshold), threshold);
    if (opened && is_the_secret(r, item, opened->secret)) return opened;
  }
  auto corrected = open_correcting(item.shares, threshold);
  if (corrected && is_the_secret(r, item, corrected->secret)) return corrected;
  if (auto opened = open_leaving_out(r, item)) return *std::move(opened);
  return unexpected(ErrorCode::kInvalidMessage, "member " + std::to_string(item.dealer) + "'s secret cannot be opened");
}

OpenedItem seeds_of(const SumRecovery& r, const SumRecovery::Item& item) {
  OpenedItem result;
  auto opened = open_item(r, item);
  if (!opened) return result;
  result.opened = true;
  for (const std::uint32_t x : opened->wrong) result.wrong_holders.push_back(x - 1);
  if (item.kind == ShareKind::kSelfMask) {
    result.seeds.push_back({std::move(opened->secret), Sign::kMinus});
    return result;
  }
  // Survivors added or subtracted their mask with the dropped member; the other way round takes it out.
  const AgreementKey key = AgreementKey::from_secret(std::move(opened->secret));
  const Digest set = hash_of(r.maskers);
  std::vector<std::uint32_t> masked;  // with the dropped member
  std::vector<AgreementPublicKey> keys;
  for (const std::uint32_t n : r.cohort->neighbours(item.dealer)) {
    if (!r.survivors.contains(n)) continue;
    masked.push_back(n);
    keys.push_back(r.cohort->entries()[n].masking_key);
  }
  const auto shared = key.shared_secrets(keys);
  result.opened = shared.has_value();  // who has a key of small order is no survivor: its neighbours refused to mask
  for (std::size_t i = 0; shared && i < masked.size(); ++i) {
    const Sign added = pair_sign(masked[i], item.dealer);
    result.seeds.push_back(
        {mask_seed(r.cohort->id(), r.cohort->entries()[masked[i]], r.cohort->entries()[item.dealer], (*shared)[i], set),
         added == Sign::kPlus ? Sign::kMinus : Sign::kPlus});
  }
  return result;
}

}  // namespace

Result<Recovered> recover(const SumRecovery& r, WorkerPool& pool) {
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
  for (std::size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i].opened) closed += (closed.empty() ? "" : ", ") + std::to_string(r.items[i].dealer);
    for (MaskSeed& seed : opened[i].seeds) result.plan.seeds.push_back(std::move(seed));
    for (const std::uint32_t holder : opened[i].wrong_holders)
      result.blame.push_back({holder, "the share of member " + std::to_string(r.items[i].dealer) + " was wrong"});
  }
  if (!closed.empty())
    return unexpected(ErrorCode::kInvalidMessage,
                      "the secrets of members " + closed + " cannot be opened: their dealers or too many holders lied. Nothing "
                      "is released; leave these members out of the next attempt");
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
