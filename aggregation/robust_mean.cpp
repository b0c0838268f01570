#include "aggregation/robust_mean.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr std::size_t kBlockFloats = 4U << 20;   // of all updates together: 16 MiB
constexpr std::size_t kBlockElementsMin = 1024;
constexpr std::size_t kStripFloats = 64 * 1024;  // sorted at once: stays in the second-level cache
constexpr std::size_t kStripElementsMin = 64;
constexpr int kWeiszfeldSteps = 20;
constexpr double kWeiszfeldEnough = 1e-9;        // relative fall of the sum of distances
constexpr double kSmoothing = 1e-6;              // of the greatest distance: none is taken for less

// Exchanges where a[i] > b[i]. Plain loops over floats, which the compiler turns into min and max.
void compare_exchange(float* a, float* b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float low = b[i] < a[i] ? b[i] : a[i];
    const float high = b[i] < a[i] ? a[i] : b[i];
    a[i] = low;
    b[i] = high;
  }
}

// Rows of all updates, and one of them as bytes and as floats on the way.
std::uint64_t bytes_of_block(std::size_t updates, std::size_t elements) { return std::uint64_t{elements} * sizeof(float) * (updates + 2); }

std::size_t block_wanted(std::size_t updates) { return std::max(kBlockElementsMin, kBlockFloats / updates); }

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

bool by_element(CombineKind kind) { return kind == CombineKind::kMedian || kind == CombineKind::kTrimmedMean; }

// The ranks [first, last) that are averaged.
std::pair<std::size_t, std::size_t> ranks_of(const ServerSpec& spec, std::size_t values) {
  const std::size_t most = (values - 1) / 2;  // that can go at either end
  if (spec.combine == CombineKind::kMedian) return {most, values - most};
  const auto gone = std::min(most, static_cast<std::size_t>(std::floor(spec.trim * static_cast<double>(values))));
  return {gone, values - gone};
}

}  // namespace

std::uint64_t robust_bytes_wanted(std::size_t updates) { return bytes_of_block(updates, block_wanted(updates)); }
std::uint64_t robust_bytes_min(std::size_t updates) { return bytes_of_block(updates, kBlockElementsMin); }

std::vector<std::pair<std::uint32_t, std::uint32_t>> sorting_network(std::uint32_t values) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> network;
  std::uint64_t top = 1;
  while (top < values) top *= 2;
  for (std::uint64_t p = top / 2; p > 0; p /= 2) {
    std::uint64_t q = top / 2, r = 0, d = p;
    while (true) {
      for (std::uint64_t i = 0; i + d < values; ++i)
        if ((i & p) == r) network.emplace_back(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i + d));
      if (q == p) break;
      d = q - p;
      q /= 2;
      r = p;
    }
  }
  return network;
}

RobustMean::RobustMean(const ServerSpec& spec, std::span<const Contribution> contributions, std::uint64_t parameters, BlobStore& blobs)
    : spec_(spec), contributions_(contributions), parameters_(parameters), blobs_(&blobs) {}

Result<RobustMean> RobustMean::create(const ServerSpec& spec, std::span<const Contribution> contributions,
                                      std::uint64_t parameters, BlobStore& blobs,
                                      std::uint64_t bytes_max) {
  COVEY_CHECK(spec.combine != CombineKind::kMean);
  if (contributions.empty())
    return unexpected(ErrorCode::kInvalidArgument, "no update to combine; a round commits at least one");
  for (const Contribution& part : contributions)
    if (part.update.size != parameters * sizeof(float))
      return unexpected(ErrorCode::kInvalidUpdate, "update " + short_hex(part.update.id) + " has " + std::to_string(part.update.size) +
                                                       " bytes; this job's have " + std::to_string(parameters * sizeof(float)));
  RobustMean mean(spec, contributions, parameters, blobs);
  const std::uint64_t fits = bytes_max / bytes_of_block(contributions.size(), 1);
  mean.block_ = static_cast<std::size_t>(std::clamp<std::uint64_t>(fits, kBlockElementsMin, block_wanted(contributions.size())));
  if (by_element(spec.combine)) {
    mean.network_ = sorting_network(static_cast<std::uint32_t>(contributions.size()));
    return mean;
  }
  if (spec.combine == CombineKind::kNormFilter) {
    COVEY_TRY_VOID(mean.filter_norms());
  } else {
    COVEY_TRY_VOID(mean.find_geometric_median());
  }
  return mean;
}

// visit(at, rows): rows[i] is the part of update i that begins at element `at` of the flat buffer.
template <class Visit>
Result<void> RobustMean::each_block(std::uint64_t first, std::uint64_t count, Visit visit) const {
  std::vector<std::vector<float>> rows(contributions_.size());
  for (std::uint64_t at = first; at < first + count; at += block_) {
    const auto elements = static_cast<std::size_t>(std::min<std::uint64_t>(block_, first + count - at));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Digest& id = contributions_[i].update.id;
      COVEY_TRY(const Bytes bytes, blobs_->read(id, at * sizeof(float), elements * sizeof(float)));
      if (bytes.size() != elements * sizeof(float))
        return unexpected(ErrorCode::kCorrupted, "update " + short_hex(id) + " is shorter than it says");
      COVEY_TRY(rows[i], floats_of_bytes(bytes));
      const auto bad = std::find_if(rows[i].begin(), rows[i].end(), [](float value) { return !std::isfinite(value); });
      if (bad != rows[i].end())
        return unexpected(ErrorCode::kInvalidUpdate, "update " + short_hex(id) + ": element " +
                                                         std::to_string(at + static_cast<std::uint64_t>(bad - rows[i].begin())) +
                                                         " is not finite");
    }
    visit(at, rows);
  }
  return {};
}

// ---- weights of whole updates

// Of each update to the weighted mean of all; to 0 while there are no weights.
Result<std::vector<double>> RobustMean::distances() const {
  std::vector<double> squares(contributions_.size());
  std::vector<double> centre;
  COVEY_TRY_VOID(each_block(0, parameters_, [&](std::uint64_t, const std::vector<std::vector<float>>& rows) {
    centre.assign(rows.front().size(), 0.0);
    for (std::size_t row = 0; row < weights_.size(); ++row)
      for (std::size_t i = 0; i < centre.size(); ++i) centre[i] += weights_[row] * static_cast<double>(rows[row][i]);
    for (std::size_t row = 0; row < rows.size(); ++row)
      for (std::size_t i = 0; i < centre.size(); ++i) {
        const double difference = static_cast<double>(rows[row][i]) - centre[i];
        squares[row] += difference * difference;
      }
  }));
  for (double& square : squares) square = std::sqrt(square);
  return squares;
}

Result<void> RobustMean::filter_norms() {
  COVEY_TRY(const std::vector<double> norms, distances());
  const double most = spec_.norm_factor * median_of(norms);
  const auto kept = static_cast<double>(std::count_if(norms.begin(), norms.end(), [&](double norm) { return norm <= most; }));
  COVEY_CHECK(kept >= 1);  // norm_factor >= 1
  for (const double norm : norms) weights_.push_back(norm <= most ? 1.0 / kept : 0.0);
  return {};
}

Result<void> RobustMean::find_geometric_median() {
  weights_.assign(contributions_.size(), 1.0 / static_cast<double>(contributions_.size()));
  double before = std::numeric_limits<double>::infinity();
  for (int step = 0; step < kWeiszfeldSteps; ++step) {
    COVEY_TRY(const std::vector<double> away, distances());
    double sum = 0;
    for (const double distance : away) sum += distance;
    const double least = kSmoothing * *std::max_element(away.begin(), away.end());
    if (least == 0 || before - sum <= kWeiszfeldEnough * sum) return {};
    before = sum;
    double total = 0;
    for (std::size_t i = 0; i < away.size(); ++i) total += weights_[i] = 1.0 / std::max(away[i], least);
    for (double& weight : weights_) weight /= total;
  }
  return {};
}

// ---- ranges

Result<void> RobustMean::range(std::uint64_t first, std::span<double> mean) const {
  COVEY_CHECK(first <= parameters_ && mean.size() <= parameters_ - first);
  std::fill(mean.begin(), mean.end(), 0.0);
  if (!by_element(spec_.combine))
    return each_block(first, mean.size(), [&](std::uint64_t at, const std::vector<std::vector<float>>& rows) {
      const std::span<double> out = mean.subspan(static_cast<std::size_t>(at - first), rows.front().size());
      for (std::size_t row = 0; row < rows.size(); ++row)
        for (std::size_t i = 0; weights_[row] > 0 && i < out.size(); ++i) out[i] += weights_[row] * static_cast<double>(rows[row][i]);
    });
  const std::size_t strip = std::max(kStripElementsMin, kStripFloats / contributions_.size());
  const auto [low, high] = ranks_of(spec_, contributions_.size());
  return each_block(first, mean.size(), [&, low = low, high = high](std::uint64_t at, std::vector<std::vector<float>>& rows) {
    const std::span<double> out = mean.subspan(static_cast<std::size_t>(at - first), rows.front().size());
    for (std::size_t begin = 0; begin < out.size(); begin += strip) {
      const std::size_t count = std::min(strip, out.size() - begin);
      for (const auto& [i, j] : network_) compare_exchange(rows[i].data() + begin, rows[j].data() + begin, count);
      for (std::size_t rank = low; rank < high; ++rank)
        for (std::size_t i = 0; i < count; ++i) out[begin + i] += static_cast<double>(rows[rank][begin + i]);
      for (std::size_t i = 0; i < count; ++i) out[begin + i] /= static_cast<double>(high - low);
    }
  });
}

}  // namespace covey
