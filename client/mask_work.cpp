#include "client/mask_work.h"

#include <algorithm>
#include <new>
#include <string>

#include "core/base/fault_point.h"
#include "privacy/ring_encoder.h"
#include "privacy/secagg_client.h"

namespace covey {
namespace {

// One range of a vector: its floats and its words, 4 MiB each at most. A multiple of what one thread masks at a time.
constexpr std::size_t kWordsOfThread = 64 * 1024;
constexpr std::size_t kWordsMax = 512 * 1024;

std::size_t range_words(const MaskContext& context) {
  return std::min((context.pool == nullptr ? 1 : context.pool->size()) * kWordsOfThread, kWordsMax);
}

Result<RingEncoding> encoding_of(const MaskUpdate& work) { return ring_encoding(encoding_terms(work.job), work.members_max); }

Result<UpdateEncoder> encoder_of(const MaskUpdate& work, const MaskContext& context) {
  COVEY_TRY(const RingEncoding encoding, encoding_of(work));
  return UpdateEncoder(encoding, work.trained.examples, {work.job.seed, work.offer.key, context.client});
}

Result<void> check_update(const MaskUpdate& work, const VectorSpec& vector) {
  const std::uint64_t bytes = work.trained.update ? work.trained.update->size : 0;
  if (bytes == vector.values * sizeof(float)) return {};
  return unexpected(ErrorCode::kInvalidMessage, "an update of " + std::to_string(bytes) + " bytes is none of " +
                                                    std::to_string(vector.values) + " values, which are to be masked");
}

// Reads elements `first` to first + x.size() and encodes them; what was clamped is added to `clamped`.
Result<std::uint64_t> encode_range(const MaskUpdate& work, const MaskContext& context, const UpdateEncoder& encoder,
                                   std::uint64_t first, std::span<float> x, std::span<std::uint64_t> words) {
  const std::span<std::uint8_t> bytes{reinterpret_cast<std::uint8_t*>(x.data()), x.size_bytes()};
  COVEY_TRY_VOID(context.blobs.read_into(work.trained.update->id, first * sizeof(float), bytes));
  return encoder.encode(x, first, words);
}

Result<std::vector<std::uint64_t>> figures_of(const MaskUpdate& work, std::uint64_t clamped) {
  const Trained& t = work.trained;
  return encode_figures({t.examples, t.train, t.evaluation, clamped}, work.job.privacy.examples_max, work.members_max);
}

// The vectors one after the other, as they become a blob.
class Masking {
 public:
  Masking(const MaskUpdate& work, const MaskContext& context, BlobWriter& writer)
      : work_(work), context_(context), writer_(writer), hash_(work.plan->sid) {}

  Result<void> update_vector(std::size_t place) {
    const VectorSpec& vector = work_.plan->vectors[place];
    COVEY_TRY_VOID(check_update(work_, vector));
    COVEY_TRY(const UpdateEncoder encoder, encoder_of(work_, context_));
    COVEY_TRY(const Ring ring, Ring::of_width(vector.width));
    const std::vector<MaskTerm> terms = terms_of(*work_.plan, place);
    hash_.begin(place, vector);
    const std::size_t values_max = range_words(context_) * ring.lanes();
    std::vector<float> x(static_cast<std::size_t>(std::min<std::uint64_t>(values_max, vector.values)));
    std::vector<std::uint64_t> words(static_cast<std::size_t>(ring.words(x.size())));
    for (std::uint64_t at = 0; at < vector.values; at += values_max) {
      if (context_.cancelled != nullptr && context_.cancelled->load(std::memory_order_relaxed))
        return unexpected(ErrorCode::kUnavailable, "masking was cancelled");
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(values_max, vector.values - at));
      const auto range = std::span(words).first(static_cast<std::size_t>(ring.words(count)));
      COVEY_TRY(const std::uint64_t clamped, encode_range(work_, context_, encoder, at, std::span(x).first(count), range));
      clamped_ += clamped;
      const VectorPart part{range, at / ring.lanes()};
      if (context_.pool == nullptr) {
        apply_masks(part, terms, ring, work_.plan->cipher);
      } else {
        apply_masks(part, terms, ring, work_.plan->cipher, *context_.pool);
      }
      COVEY_TRY_VOID(leave(range));
    }
    wipe({reinterpret_cast<std::uint8_t*>(x.data()), x.size() * sizeof(float)});
    return {};
  }

  Result<void> figures_vector(std::size_t place) {
    const VectorSpec& vector = work_.plan->vectors[place];
    COVEY_TRY(std::vector<std::uint64_t> words, figures_of(work_, clamped_));
    if (words.size() != vector.values || vector.width != kFiguresWidth)
      return unexpected(ErrorCode::kInvalidMessage, "the vector of figures has another shape than this program's");
    hash_.begin(place, vector);
    apply_masks({words, 0}, terms_of(*work_.plan, place), *Ring::of_width(vector.width), work_.plan->cipher);
    return leave(words);
  }

  Result<UpdateMasked> finish() {
    COVEY_TRY(const BlobRef vectors, writer_.finish());
    return UpdateMasked{vectors, hash_.finish()};
  }

 private:
  Result<void> leave(std::span<const std::uint64_t> words) {
    hash_.update(words);
    return writer_.append({reinterpret_cast<const std::uint8_t*>(words.data()), words.size_bytes()});
  }

  const MaskUpdate& work_;
  const MaskContext& context_;
  BlobWriter& writer_;
  MaskedHash hash_;
  std::uint64_t clamped_ = 0;
};

}  // namespace

Result<UpdateMasked> mask_update(const MaskUpdate& work, const MaskContext& context) {
  COVEY_CHECK(work.plan != nullptr);
  try {
    COVEY_TRY(const auto writer, context.blobs.writer());
    Masking masking(work, context, *writer);
    for (std::size_t place = 0; place < work.plan->vectors.size(); ++place) {
      const bool update = work.plan->vectors[place].name == kUpdateVector;
      COVEY_TRY_VOID(update ? masking.update_vector(place) : masking.figures_vector(place));
      fault_point("mask.vector.written");
    }
    return masking.finish();
  } catch (const std::bad_alloc&) {
    return unexpected(ErrorCode::kResourceExhausted, "no memory to mask the update of job \"" + work.job.name + "\"");
  }
}

Result<std::vector<std::vector<std::uint64_t>>> encoded_vectors(const MaskUpdate& work, const MaskContext& context) {
  std::vector<std::vector<std::uint64_t>> vectors;
  std::uint64_t clamped = 0;
  if (work.offer.kind == RoundKind::kTrain) {
    COVEY_CHECK(work.trained.update.has_value());
    COVEY_TRY(const UpdateEncoder encoder, encoder_of(work, context));
    COVEY_TRY(const Ring ring, Ring::of_width(work.job.privacy.ring_bits));
    std::vector<float> x(static_cast<std::size_t>(work.trained.update->size / sizeof(float)));
    vectors.emplace_back(static_cast<std::size_t>(ring.words(x.size())));
    COVEY_TRY(clamped, encode_range(work, context, encoder, 0, x, vectors.back()));
  }
  COVEY_TRY(std::vector<std::uint64_t> figures, figures_of(work, clamped));
  vectors.push_back(std::move(figures));
  return vectors;
}

}  // namespace covey
