#include "coordinator/work_secure.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "aggregation/aggregator.h"
#include "core/base/fault_point.h"
#include "core/protocol/exchanged.h"
#include "privacy/ring_encoder.h"
#include "privacy/secagg_server.h"

namespace covey {
namespace {

static_assert(std::endian::native == std::endian::little, "masked words lie in files as they lie in memory");
constexpr std::uint64_t kWords = kChunkBytes / sizeof(std::uint64_t);  // read at once

std::span<std::uint8_t> bytes_of_words(std::span<std::uint64_t> words) {
  return {reinterpret_cast<std::uint8_t*>(words.data()), words.size_bytes()};
}

// Where each vector's words begin in a blob of them all, and the ring they are in.
struct Layout {
  std::vector<VectorSpec> vectors;
  std::vector<Ring> rings;
  std::vector<std::uint64_t> first_word;

  static Result<Layout> of(const JobSpec& job, RoundKind kind, std::uint32_t members_max) {
    Layout layout;
    COVEY_TRY(layout.vectors, secure_vectors(job, kind, exchanged_size(job), members_max));
    std::uint64_t at = 0;
    for (const VectorSpec& vector : layout.vectors) {
      layout.rings.push_back(*Ring::of_width(vector.width));
      layout.first_word.push_back(at);
      at += layout.rings.back().words(vector.values);
    }
    return layout;
  }
  std::uint64_t bytes() const { return masked_bytes(vectors); }
};

class Opening {  // of one sum
 public:
  Opening(const Unmask& work, const UnmaskParts& parts, Layout layout, MaskPlan plan)
      : work_(work), parts_(parts), layout_(std::move(layout)), cipher_(plan.cipher) {
    for (std::size_t v = 0; v < layout_.vectors.size(); ++v) terms_.push_back(terms_of(plan, v));
  }

  // Words `first` to first + sum.size() of the survivors' plain sum.
  Result<void> words(std::size_t vector, std::uint64_t first, std::span<std::uint64_t> sum) const {
    std::vector<std::uint64_t> one(sum.size());
    std::fill(sum.begin(), sum.end(), 0);
    const std::uint64_t offset = (layout_.first_word[vector] + first) * sizeof(std::uint64_t);
    for (const BlobRef& blob : work_.vectors) {
      COVEY_TRY_VOID(parts_.blobs.read_into(blob.id, offset, bytes_of_words(one)));
      combine(sum, one, Sign::kPlus, layout_.rings[vector]);
    }
    apply_masks({sum, first}, terms_[vector], layout_.rings[vector], cipher_);
    return {};
  }

  Result<std::vector<std::uint64_t>> figures() const {
    const std::size_t vector = layout_.vectors.size() - 1;
    std::vector<std::uint64_t> sum(static_cast<std::size_t>(layout_.rings[vector].words(kFigures)));
    COVEY_TRY_VOID(words(vector, 0, sum));
    return sum;
  }

  // One server step on the mean, by the room that makes such steps.
  Result<Aggregated> step(std::uint64_t examples) const {
    COVEY_TRY(const RingEncoding encoding, ring_encoding(encoding_terms(work_.job), work_.members_max));
    Aggregate step{work_.key, work_.job, work_.model, work_.optimizer_state, work_.next_version, {}};
    AggregateParts parts{parts_.blobs, parts_.ranges, parts_.share, nullptr, nullptr};
    parts.mean = [&](std::uint64_t first, std::span<double> mean) -> Result<void> {
      // A range of elements begins anywhere in a word: whole words are opened, and what is not asked for is left out.
      const std::uint64_t lanes = layout_.rings[0].lanes();
      const std::uint64_t before = first % lanes;
      std::vector<std::uint64_t> sum(static_cast<std::size_t>(layout_.rings[0].words(before + mean.size())));
      COVEY_TRY_VOID(words(0, first / lanes, sum));
      std::vector<double> all(static_cast<std::size_t>(before) + mean.size());
      decode_mean(sum, encoding, examples, all);
      std::copy(all.begin() + static_cast<std::ptrdiff_t>(before), all.end(), mean.begin());
      return {};
    };
    return aggregate(step, parts);
  }

 private:
  const Unmask& work_;
  const UnmaskParts& parts_;
  Layout layout_;
  PrgCipher cipher_;
  std::vector<std::vector<MaskTerm>> terms_;  // by vector
};

std::vector<std::uint32_t> unproven(const Recovered& recovered) {
  std::vector<std::uint32_t> rest;
  std::vector<std::uint32_t> all = recovered.doubted;
  all.insert(all.end(), recovered.unopened.begin(), recovered.unopened.end());
  for (const std::uint32_t dealer : all)
    if (std::none_of(recovered.liars.begin(), recovered.liars.end(), [&](const Blame& liar) { return liar.member == dealer; }))
      rest.push_back(dealer);
  return rest;
}

}  // namespace

Result<MaskedChecked> check_masked(const CheckMasked& work, BlobStore& blobs) {
  COVEY_TRY(const Layout layout, Layout::of(work.job, work.kind, work.members_max));
  if (work.vectors.size != layout.bytes())
    return unexpected(ErrorCode::kInvalidUpdate, "the masked vectors have " + std::to_string(work.vectors.size) +
                                                     " bytes; this round's have " + std::to_string(layout.bytes()));
  MaskedHash hash(work.sid);
  std::vector<std::uint64_t> piece(kWords);
  for (std::size_t v = 0; v < layout.vectors.size(); ++v) {
    const Ring& ring = layout.rings[v];
    const std::uint64_t values = layout.vectors[v].values;
    const std::uint64_t words = ring.words(values);
    hash.begin(v, layout.vectors[v]);
    for (std::uint64_t at = 0; at < words; at += kWords) {
      const auto run = std::span(piece).first(static_cast<std::size_t>(std::min(kWords, words - at)));
      COVEY_TRY_VOID(blobs.read_into(work.vectors.id, (layout.first_word[v] + at) * sizeof(std::uint64_t), bytes_of_words(run)));
      const std::uint64_t here = std::min<std::uint64_t>(run.size() * ring.lanes(), values - at * ring.lanes());
      if (const auto packed = check_packed(run, here, ring); !packed)
        return unexpected(ErrorCode::kInvalidUpdate, "the masked vectors: " + packed.error().message);
      hash.update(run);
    }
  }
  fault_point("masked.verified");
  return MaskedChecked{hash.finish()};
}

Result<Unmasked> unmask(const Unmask& work, const UnmaskParts& parts) {
  COVEY_CHECK(work.recovery != nullptr && work.recovery->survivors.count() == work.vectors.size());
  COVEY_TRY(Layout layout, Layout::of(work.job, work.kind, work.members_max));
  COVEY_CHECK(layout.vectors == work.recovery->vectors);
  for (const BlobRef& blob : work.vectors) COVEY_CHECK(blob.size == layout.bytes());
  Recovered recovered = recover(*work.recovery, parts.pool);
  fault_point("unmask.recovered");
  Unmasked opened;
  for (const auto& [dealer, holder] : recovered.disputed) opened.disputed.emplace_back(dealer, holder);
  for (Blame& liar : recovered.liars) opened.liars.emplace_back(liar.member, std::move(liar.what));
  opened.closed = std::move(recovered.closed);
  if (!opened.closed.empty()) {
    opened.suspects = unproven(recovered);
    opened.unopened = std::move(recovered.unopened);
    return opened;
  }
  const Opening opening(work, parts, std::move(layout), std::move(recovered.plan));
  COVEY_TRY(const std::vector<std::uint64_t> sum, opening.figures());
  fault_point("unmask.figures");
  const auto members = static_cast<std::uint32_t>(work.vectors.size());
  const auto figures = decode_figures(sum, {members, work.job.privacy.examples_max});
  if (!figures) {
    opened.suspects = unproven(recovered);
    opened.closed = "the sum is noise: a member sent other vectors than it masked, or masked with another secret than it shared (" +
                    figures.error().message + "). Nothing is released";
    return opened;
  }
  // Noise would not have passed for figures: the masks that were taken off are those that had been put on.
  for (Blame& holder : recovered.blame) opened.liars.emplace_back(holder.member, std::move(holder.what));
  for (const std::uint32_t dealer : unproven(recovered)) opened.liars.emplace_back(dealer, "committed to another mask than it used");
  for (const std::uint32_t dealer : recovered.mended)
    if (std::none_of(opened.liars.begin(), opened.liars.end(), [&](const auto& liar) { return liar.first == dealer; }))
      opened.suspects.push_back(dealer);
  opened.examples = figures->examples;
  opened.train = figures->train;
  opened.evaluation = figures->evaluation;
  opened.clamped = figures->clamped;
  if (work.kind == RoundKind::kTrain) {
    COVEY_TRY(opened.aggregated, opening.step(opened.examples));
    fault_point("unmask.stepped");
  }
  return opened;
}

}  // namespace covey
