#include "client/eligibility.h"

#include <algorithm>
#include <charconv>

#include "core/spec/parameter_table.h"

namespace covey {
namespace {

constexpr std::int64_t kHourNanos = 3'600'000'000'000;

// A whole number of at most two digits; nothing otherwise.
std::optional<unsigned> small_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 2 || error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

unsigned utc_hour(Instant now) {
  const std::int64_t hours = unix_nanos(now) / kHourNanos - (unix_nanos(now) % kHourNanos < 0 ? 1 : 0);
  return static_cast<unsigned>(((hours % 24) + 24) % 24);
}

bool within(std::pair<std::uint8_t, std::uint8_t> hours, unsigned hour) {
  const auto [begin, end] = hours;
  return begin < end ? hour >= begin && hour < end : hour >= begin || hour < end;
}

double mlp_activations(const ModelSpec& model) {
  double elements = model.inputs + 2.0 * model.classes;
  if (model.family == ModelFamily::kMlp)
    for (const std::uint32_t width : model.hidden) elements += 2.0 * width;  // output and gradient
  return elements;
}

double cnn_activations(const ModelSpec& model) {
  double height = model.image_height, width = model.image_width;
  double elements = height * width * model.image_channels;
  double widest = elements;
  for (const std::uint32_t channels : model.conv_channels) {
    const double plane = height * width * channels;
    elements += plane / 4 * 2;  // pooled output and where its maxima came from
    widest = std::max(widest, plane);
    height /= 2;
    width /= 2;
  }
  return elements + 4 * widest + 2.0 * model.dense + 2.0 * model.classes;
}

double transformer_activations(const ModelSpec& model) {
  const double width = model.width, ffn = model.ffn_width();
  const double block = 9 * width + 3 * ffn + model.heads + 2;      // kept until backward
  const double shared = 2 * width + 6 * std::max(width, ffn);      // gradients flowing, work space
  const double token = model.layers * block + shared + 3 * width + 2.0 * model.vocabulary;
  return token * model.context;
}

// f32 elements for one example.
double activations(const ModelSpec& model) {
  switch (model.family) {
    case ModelFamily::kLogistic:
    case ModelFamily::kMlp: return mlp_activations(model);
    case ModelFamily::kCnn: return cnn_activations(model);
    case ModelFamily::kTransformer: return transformer_activations(model);
  }
  return 0;
}

double parameter_copies(const TrainSpec& train) {
  const double held = 5;  // the offered model, weights, gradients, delta, the update's bytes
  if (train.optimizer == LocalOptimizer::kAdamW) return held + 2;
  return train.momentum > 0 ? held + 1 : held;
}

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB";
}

std::optional<Decline> judge_hours(const Policy& policy, Instant now) {
  if (!policy.hours || within(*policy.hours, utc_hour(now))) return std::nullopt;
  return Decline{DeclineReason::kSchedule,
                 "hour " + std::to_string(utc_hour(now)) + " UTC is outside this site's hours " +
                     std::to_string(policy.hours->first) + "-" + std::to_string(policy.hours->second)};
}

}  // namespace

Result<std::pair<std::uint8_t, std::uint8_t>> hours_from(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    const auto begin = small_number(text.substr(0, dash));
    const auto end = small_number(text.substr(dash + 1));
    if (begin && end && *begin <= 23 && *end <= 24 && *begin != *end)
      return std::pair{static_cast<std::uint8_t>(*begin), static_cast<std::uint8_t>(*end)};
  }
  return unexpected(ErrorCode::kInvalidArgument,
                    "hours \"" + std::string(text.substr(0, 32)) +
                        "\": must be BEGIN-END in whole hours UTC, begin in 0..23, end in 0..24, not "
                        "equal, such as 22-6; leave it out to train at any hour");
}

std::uint64_t training_memory_bytes(const JobSpec& job) {
  const double parameters = static_cast<double>(parameter_table(job.model).size);
  const double elements = parameters * parameter_copies(job.train) +
                          activations(job.model) * job.train.batch_size;
  return static_cast<std::uint64_t>(std::min(elements * sizeof(float), 9e18));
}

std::optional<Decline> judge(const Policy& policy, const Capability& capability, const JobSpec& job, Instant now) {
  const auto& allowed = policy.jobs_allowed;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), job.name) == allowed.end())
    return Decline{DeclineReason::kPolicy, "this site does not take part in job \"" + job.name + "\""};
  if (!job.privacy.secure_aggregation && !policy.plain_updates)
    return Decline{DeclineReason::kPolicy,
                   "this site gives no plain updates, which the coordinator sees one by one: set privacy.secure_aggregation = true "
                   "in the job, or have the site's owner allow them with plain-updates = true (covey-client --plain-updates)"};
  if (auto decline = judge_hours(policy, now)) return decline;
  const std::uint64_t limit =
      policy.memory_bytes_max != 0 ? policy.memory_bytes_max : capability.memory_bytes;
  const std::uint64_t needed = training_memory_bytes(job);
  if (limit != 0 && needed > limit)
    return Decline{DeclineReason::kMemory,
                   "training takes about " + mebibytes(needed) + ", this site allows " + mebibytes(limit) +
                       ": lower train.batch_size or choose a smaller model"};
  return std::nullopt;
}

}  // namespace covey
