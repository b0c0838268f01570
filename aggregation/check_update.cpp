#include "aggregation/check_update.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace covey {
namespace {

constexpr double kClipTolerance = 1 + 1e-5;  // a clipped update is rounded to f32
constexpr std::size_t kElements = kChunkBytes / sizeof(float);

std::span<std::uint8_t> bytes_of_values(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

Result<UpdateChecked> check_ranges(const CheckUpdate& work, BlobStore& blobs, const VisitRange& visit) {
  const std::uint64_t expected = work.parameters * sizeof(float);
  const std::string name = "update " + short_hex(work.update.id);
  if (work.update.size != expected)
    return unexpected(ErrorCode::kInvalidUpdate,
                      name + " has " + std::to_string(work.update.size) + " bytes; a model of " +
                          std::to_string(work.parameters) + " parameters needs " + std::to_string(expected));
  const SumScale scale = sum_scale(work.limits);
  std::vector<float> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(kElements, work.parameters)));
  double squares = 0;
  for (std::uint64_t first = 0; first < work.parameters; first += kElements) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kElements, work.parameters - first));
    const std::span<float> values = std::span(buffer).first(count);
    COVEY_TRY_VOID(work.sum ? blobs.read_written(work.update.id, first * sizeof(float), bytes_of_values(values))
                            : blobs.read_into(work.update.id, first * sizeof(float), bytes_of_values(values)));
    const Added added = visit(static_cast<std::size_t>(first), values);
    if (added.refused)
      return unexpected(ErrorCode::kInvalidUpdate,
                        name + ": " + refusal_of(values[*added.refused], first + *added.refused, scale));
    squares += added.squares;
  }
  const double norm = std::sqrt(squares);
  const double norm_max = work.limits.clip_norm;
  if (norm_max > 0 && norm > norm_max * kClipTolerance)
    return unexpected(ErrorCode::kInvalidUpdate,
                      name + " has norm " + std::to_string(norm) + "; update.clip_norm allows " +
                          std::to_string(norm_max) + ": its client does not clip");
  return UpdateChecked{norm};
}

Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs) {
  const SumScale scale = sum_scale(work.limits);
  return check_ranges(work, blobs,
                      [&](std::size_t, std::span<const float> values) { return check_values(values, scale); });
}

}  // namespace covey
