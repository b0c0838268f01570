#include "aggregation/check_update.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace covey {
namespace {

constexpr double kClipTolerance = 1 + 1e-5;  // a clipped update is rounded to f32

std::span<std::uint8_t> bytes_of_values(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}

std::string name_of(const CheckUpdate& work) { return "update " + short_hex(work.update.id); }

}  // namespace

Result<void> check_size(const CheckUpdate& work) {
  const std::uint64_t expected = work.parameters * sizeof(float);
  if (work.update.size == expected) return {};
  return unexpected(ErrorCode::kInvalidUpdate,
                    name_of(work) + " has " + std::to_string(work.update.size) + " bytes; a model of " +
                        std::to_string(work.parameters) + " parameters needs " + std::to_string(expected));
}

Result<UpdateChecked> check_norm(const CheckUpdate& work, double squares) {
  const double norm = std::sqrt(squares);
  const double norm_max = work.limits.clip_norm;
  if (norm_max > 0 && norm > norm_max * kClipTolerance)
    return unexpected(ErrorCode::kInvalidUpdate,
                      name_of(work) + " has norm " + std::to_string(norm) + "; update.clip_norm allows " +
                          std::to_string(norm_max) + ": its client does not clip");
  return UpdateChecked{norm};
}

Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs) {
  COVEY_TRY_VOID(check_size(work));
  const SumScale scale = sum_scale(work.limits);
  std::vector<float> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(kRangeElements, work.parameters)));
  double squares = 0;
  for (std::uint64_t first = 0; first < work.parameters; first += kRangeElements) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kRangeElements, work.parameters - first));
    const std::span<float> values = std::span(buffer).first(count);
    COVEY_TRY_VOID(work.sum ? blobs.read_written(work.update.id, first * sizeof(float), bytes_of_values(values))
                            : blobs.read_into(work.update.id, first * sizeof(float), bytes_of_values(values)));
    const Added checked = check_values(values, scale);
    if (checked.refused)
      return unexpected(ErrorCode::kInvalidUpdate,
                        name_of(work) + ": " + refusal_of(values[*checked.refused], first + *checked.refused, scale));
    squares += checked.squares;
  }
  return check_norm(work, squares);
}

}  // namespace covey
