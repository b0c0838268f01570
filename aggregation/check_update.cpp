#include <algorithm>
#include <cmath>

#include "aggregation/aggregator.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr double kClipTolerance = 1 + 1e-5;  // a clipped update is rounded to f32

}  // namespace

Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs) {
  const std::uint64_t expected = work.parameters * sizeof(float);
  const std::string name = "update " + short_hex(work.update.id);
  if (work.update.size != expected)
    return unexpected(ErrorCode::kInvalidUpdate,
                      name + " has " + std::to_string(work.update.size) + " bytes; a model of " +
                          std::to_string(work.parameters) + " parameters needs " + std::to_string(expected));
  double squares = 0;
  for (std::uint64_t offset = 0; offset < expected; offset += kChunkBytes) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, expected - offset));
    COVEY_TRY(const Bytes bytes, blobs.read(work.update.id, offset, length));
    COVEY_TRY(const std::vector<float> values, floats_of_bytes(bytes));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i]))
        return unexpected(ErrorCode::kInvalidUpdate,
                          name + ": element " + std::to_string(offset / sizeof(float) + i) + " is " +
                              (std::isnan(values[i]) ? "NaN" : "infinite") +
                              "; local training diverged, lower train.learning_rate or set train.clip_norm");
      const double value = static_cast<double>(values[i]);
      squares += value * value;
    }
  }
  const double norm = std::sqrt(squares);
  if (work.norm_max > 0 && norm > work.norm_max * kClipTolerance)
    return unexpected(ErrorCode::kInvalidUpdate,
                      name + " has norm " + std::to_string(norm) + "; update.clip_norm allows " +
                          std::to_string(work.norm_max) + ": its client does not clip");
  return UpdateChecked{norm};
}

}  // namespace covey
