#include "core/protocol/job_spec.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "core/protocol/limits.h"
#include "core/spec/parameter_table.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint64_t kRoundsMax = 1'000'000;
constexpr std::uint64_t kClientsMax = 10'000'000;
constexpr std::uint32_t kRobustUpdatesMin = 3;

Result<void> check_name(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), plain)) return {};
  return bad_setting("name", setting_text(name),
                     "must have 1 to " + std::to_string(kNameBytesMax) + " characters of A-Z a-z 0-9 . _ -");
}

Result<void> above_zero(std::string_view name, double value, double high) {
  if (value > 0 && value <= high) return {};
  return bad_setting(name, setting_text(value), "must be above 0 and at most " + setting_text(high));
}

// New jobs have a lower bound, too (job_fit.h).
Result<void> check_clip(double norm) {
  constexpr double kLargest = 1e6;
  if (norm >= 0 && norm <= kLargest) return {};
  return bad_setting("update.clip_norm", setting_text(norm),
                     "must be 0 (updates are not clipped), or lie in [" + setting_text(kClipNormMin) + ", " + setting_text(kLargest) + "]");
}

constexpr const char* kNotSecure = ", or privacy.secure_aggregation = false";

// Robust rules tell the odd update from the others, of which there must be enough.
Result<void> check_combine(const JobSpec& spec) {
  if (!(spec.server.trim > 0 && spec.server.trim < 0.5))
    return bad_setting("server.trim", setting_text(spec.server.trim), "must be above 0 and below 0.5; try 0.2");
  COVEY_TRY_VOID(setting_within("server.norm_factor", spec.server.norm_factor, 1.0, 1000.0));
  if (spec.server.combine == CombineKind::kMean) return {};
  if (spec.privacy.secure_aggregation)
    return bad_setting("server.combine", setting_text(name_of(spec.server.combine)),
                       std::string("needs each update by itself, and privacy.secure_aggregation shows their sum alone: set "
                                   "server.combine = \"mean\"") + kNotSecure);
  if (spec.durability != Durability::kUpdate)
    return bad_setting("server.combine", setting_text(name_of(spec.server.combine)),
                       "needs each update by itself; with durability = \"attempt\" only their sum is kept: set "
                       "durability = \"update\", or server.combine = \"mean\"");
  const double fewest = std::ceil(spec.round.quorum * spec.selection.min_clients - 1e-9);
  if (fewest >= kRobustUpdatesMin) return {};
  return bad_setting("server.combine", setting_text(name_of(spec.server.combine)),
                     "needs at least " + std::to_string(kRobustUpdatesMin) + " updates in every round, but round.quorum of selection.min_clients = " +
                         std::to_string(spec.selection.min_clients) + " lets " + setting_text(fewest) +
                         " commit; raise min_clients or quorum, or use \"mean\"");
}

Result<void> check_secure_fits(const JobSpec& spec) {
  const std::string off = kNotSecure;
  if (spec.durability != Durability::kUpdate)
    return bad_setting("durability", setting_text(name_of(spec.durability)),
                       "privacy.secure_aggregation keeps each masked update until the round ends: set durability = "
                       "\"update\"" + off);
  const std::uint32_t clients = spec.selection.min_clients;
  if (clients < kSecureClientsMin)
    return bad_setting("selection.min_clients", std::to_string(clients),
                       "privacy.secure_aggregation needs at least " + std::to_string(kSecureClientsMin) +
                           ", so that no sum is of few: set selection.min_clients = " +
                           std::to_string(kSecureClientsMin) + off);
  const double asked = std::ceil(clients * (1 + spec.selection.over_selection) - 1e-9);
  const auto members = static_cast<std::uint32_t>(std::min(asked, 65536.0));
  const double range = secure_range(spec);
  if (range * secure_scale(range, spec.privacy.ring_bits, members) >= kSecureStepsMin) return {};
  std::uint32_t bits = spec.privacy.ring_bits;
  while (bits < 62 && range * secure_scale(range, bits, members) < kSecureStepsMin) ++bits;
  return bad_setting("privacy.ring_bits", std::to_string(spec.privacy.ring_bits),
                     "is too coarse for a sum over " + std::to_string(members) + " clients; set privacy.ring_bits = " +
                         std::to_string(bits));
}

Result<void> check_privacy(const JobSpec& spec) {
  const PrivacySpec& privacy = spec.privacy;
  COVEY_TRY_VOID(setting_within("privacy.corrupt_fraction", privacy.corrupt_fraction, 0.0, 0.3));
  COVEY_TRY_VOID(setting_within("privacy.dropout", privacy.dropout, 0.0, 0.3));
  COVEY_TRY_VOID(setting_within("privacy.value_range", privacy.value_range, 1e-6, 1e6));
  COVEY_TRY_VOID(setting_within("privacy.ring_bits", std::uint64_t{privacy.ring_bits}, 16, 62));
  COVEY_TRY_VOID(setting_within("privacy.examples_max", privacy.examples_max, 1, std::uint64_t{1} << 30));
  return privacy.secure_aggregation ? check_secure_fits(spec) : Result<void>{};
}

Result<void> check_server(const ServerSpec& server) {
  COVEY_TRY_VOID(above_zero("server.learning_rate", server.learning_rate, 1e3));
  COVEY_TRY_VOID(setting_within("server.momentum", server.momentum, 0.0, 0.9999));
  COVEY_TRY_VOID(setting_within("server.beta1", server.beta1, 0.0, 0.9999));
  COVEY_TRY_VOID(setting_within("server.beta2", server.beta2, 0.0, 0.999999));
  return above_zero("server.tau", server.tau, 1.0);
}

Result<void> check_language(const JobSpec& spec) {
  const std::string format = std::string("data.format = \"") + name_of(spec.data.format) + "\"";
  const std::string vocabulary = std::to_string(spec.model.vocabulary);
  if (spec.model.family != ModelFamily::kTransformer)
    return bad_setting("model.family", setting_text(name_of(spec.model.family)),
                       format + " trains a \"transformer\"; change one of the two");
  const bool bytes = spec.data.format != DataFormat::kTokens && spec.data.tokenizer_sha256.empty();
  if (bytes && spec.model.vocabulary != 256)
    return bad_setting("model.vocabulary", vocabulary,
                       "text is read as bytes; use 256, or name a tokenizer with data.tokenizer_sha256");
  if (!spec.data.separator || *spec.data.separator < spec.model.vocabulary) return {};
  return bad_setting("data.separator", std::to_string(*spec.data.separator),
                     "must be a token, below model.vocabulary = " + vocabulary);
}

Result<void> check_images(const JobSpec& spec) {
  if (spec.model.family == ModelFamily::kTransformer)
    return bad_setting("model.family", "\"transformer\"",
                       "data.format = \"idx\" trains \"cnn\", \"mlp\" or \"logistic\"; change one of the two");
  if (!spec.data.augments()) return {};
  if (spec.model.family != ModelFamily::kCnn)
    return bad_setting("model.family", setting_text(name_of(spec.model.family)),
                       "data.augment_flip and data.augment_crop change images, which \"cnn\" alone takes; remove them");
  const std::uint32_t side = std::min(spec.model.image_height, spec.model.image_width);
  if (spec.data.augment_crop < side) return {};
  return bad_setting("data.augment_crop", std::to_string(spec.data.augment_crop),
                     "must be less than the image's side, " + std::to_string(side) + "; try 4");
}

// A plain name: it is looked for in a folder of the coordinator's.
Result<void> check_start(const JobSpec& spec) {
  if (spec.start.empty()) return {};
  if (spec.model.family != ModelFamily::kTransformer)
    return bad_setting("model.start", setting_text(spec.start), "only a \"transformer\" can start from a model; remove it");
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; };
  if (spec.start.size() <= kNameBytesMax && spec.start[0] != '.' && std::all_of(spec.start.begin(), spec.start.end(), plain))
    return {};
  return bad_setting("model.start", setting_text(spec.start),
                     "must be a name as `covey import` gives them: at most " + std::to_string(kNameBytesMax) +
                         " characters, letters A-Z a-z, digits, . _ and -, and the first is no dot");
}

Result<void> check_csv(const JobSpec& spec) {
  if (spec.model.family != ModelFamily::kLogistic && spec.model.family != ModelFamily::kMlp)
    return bad_setting("model.family", setting_text(name_of(spec.model.family)),
                       "data.format = \"csv\" trains \"logistic\" or \"mlp\"; change one of the two");
  if (spec.model.inputs != spec.data.feature_count())
    return bad_setting("model.inputs", std::to_string(spec.model.inputs),
                       "data.columns give " + std::to_string(spec.data.feature_count()) + " features; remove model.inputs");
  if (spec.model.classes != spec.data.class_count())
    return bad_setting("model.classes", std::to_string(spec.model.classes),
                       "the label column has " + std::to_string(spec.data.class_count()) + " values; remove model.classes");
  return {};
}

// What of [train] does not go with the model.
Result<void> check_training(const JobSpec& spec) {
  const bool transformer = spec.model.family == ModelFamily::kTransformer;
  const std::string family = std::string("model.family = \"") + name_of(spec.model.family) + "\"";
  const Precision precision = spec.train.precision;
  // As core/nn builds them.
  const bool halves = spec.model.family == ModelFamily::kCnn && spec.model.blocks != CnnBlocks::kSeparable;
  if (!transformer && precision != Precision::kF32 && precision != Precision::kAuto && !(halves && precision == Precision::kBf16))
    return bad_setting("train.precision", setting_text(name_of(precision)),
                       family + (halves ? " computes in f32 or bf16; use \"f32\", \"bf16\" or \"auto\""
                                        : spec.model.family == ModelFamily::kCnn
                                              ? " with separable blocks computes in f32 alone; use \"f32\" or \"auto\""
                                              : " computes in f32 alone; use \"f32\" or \"auto\""));
  if (!transformer && spec.train.checkpointing == Checkpointing::kBlock)
    return bad_setting("train.checkpointing", "\"block\"", family + " has no blocks; use \"none\" or \"auto\"");
  if (spec.train.per_example_clip > 0 && precision == Precision::kFp16)
    return bad_setting("train.per_example_clip", setting_text(spec.train.per_example_clip),
                       "does not go with train.precision = \"fp16\", whose scaled gradients may overflow; use \"bf16\", \"f32\" or \"auto\"");
  const std::vector<ShardRange> shards = parameter_table(spec.model).shards;
  for (const std::string& frozen : spec.train.frozen)
    if (std::none_of(shards.begin(), shards.end(), [&](const ShardRange& shard) { return matches_pattern(shard.name, frozen); }))
      return bad_setting("train.frozen", setting_text(frozen), "names no shard of this model; try " + setting_text(shards.front().name));
  if (trained_ranges(spec.model, spec.train.frozen).empty())
    return bad_setting("train.frozen", setting_text(spec.train.frozen.back()), "leaves nothing to train; remove an entry");
  const FrozenStorage storage = spec.train.frozen_storage;
  const bool narrow = storage == FrozenStorage::kBf16 || storage == FrozenStorage::kInt8;
  if (narrow && frozen_weights(spec.model, spec.train.frozen).empty())
    return bad_setting("train.frozen_storage", setting_text(name_of(storage)),
                       transformer ? std::string("no weight of a block is frozen; set train.frozen or [model.lora], or use \"auto\"")
                                   : "it is for the frozen weights of transformers, and " + family + "; use \"auto\"");
  return {};
}

Result<void> check_fit(const JobSpec& spec) {
  switch (spec.data.format) {
    case DataFormat::kText:
    case DataFormat::kJsonl:
    case DataFormat::kTokens: return check_language(spec);
    case DataFormat::kCsv: return check_csv(spec);
    case DataFormat::kIdx: return check_images(spec);
  }
  return {};
}

}  // namespace

const char* name_of(ServerOptimizerKind kind) {
  switch (kind) {
    case ServerOptimizerKind::kFedAvg: return "fedavg";
    case ServerOptimizerKind::kFedAvgM: return "fedavgm";
    case ServerOptimizerKind::kFedAdam: return "fedadam";
    case ServerOptimizerKind::kFedYogi: return "fedyogi";
  }
  return "unknown";
}

const char* name_of(Durability durability) { return durability == Durability::kUpdate ? "update" : "attempt"; }

Result<Durability> durability_from(std::string_view name) {
  for (const auto durability : {Durability::kUpdate, Durability::kAttempt})
    if (name == name_of(durability)) return durability;
  return bad_setting("durability", setting_text(name), R"(must be "update" or "attempt")");
}

const char* name_of(Exchange exchange) { return exchange == Exchange::kAll ? "all" : "trained"; }

Result<Exchange> exchange_from(std::string_view name) {
  for (const auto exchange : {Exchange::kAll, Exchange::kTrained})
    if (name == name_of(exchange)) return exchange;
  return bad_setting("update.exchange", setting_text(name), R"(must be "trained" or "all")");
}

Result<ServerOptimizerKind> server_optimizer_from(std::string_view name) {
  for (const auto kind : {ServerOptimizerKind::kFedAvg, ServerOptimizerKind::kFedAvgM,
                          ServerOptimizerKind::kFedAdam, ServerOptimizerKind::kFedYogi})
    if (name == name_of(kind)) return kind;
  return bad_setting("server.optimizer", setting_text(name),
                     R"(must be "fedavg", "fedavgm", "fedadam" or "fedyogi")");
}

const char* name_of(CombineKind kind) {
  switch (kind) {
    case CombineKind::kMean: return "mean";
    case CombineKind::kMedian: return "median";
    case CombineKind::kTrimmedMean: return "trimmed_mean";
    case CombineKind::kNormFilter: return "norm_filter";
    case CombineKind::kGeometricMedian: return "geometric_median";
  }
  return "unknown";
}

Result<CombineKind> combine_from(std::string_view name) {
  for (const auto kind : {CombineKind::kMean, CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter,
                          CombineKind::kGeometricMedian})
    if (name == name_of(kind)) return kind;
  return bad_setting("server.combine", setting_text(name),
                     R"(must be "mean", "median", "trimmed_mean", "norm_filter" or "geometric_median")");
}

double secure_range(const JobSpec& spec) {
  const double range = spec.privacy.value_range;
  return spec.update.clip_norm > 0 ? std::min(range, spec.update.clip_norm) : range;
}

double secure_scale(double range, std::uint32_t bits, std::uint32_t members) {
  if (!(range > 0) || bits < 2 || bits > 62 || members == 0) return 0;
  const std::uint64_t bound = ((std::uint64_t{1} << (bits - 1)) - 1) / members;  // B: what one member may add
  if (bound < 2) return 0;
  const double room = static_cast<double>(bound - 1) / range;
  if (!std::isfinite(room)) return 0;  // a range so small that no scale is a number
  double scale = std::exp2(std::floor(std::log2(room)));
  // Neither the logarithm nor the conversion of B to a double may take it past the bound.
  while (range * scale + 1 > static_cast<double>(bound)) scale /= 2;
  return scale;
}

Result<void> JobSpec::validate() const {
  COVEY_TRY_VOID(check_name(name));
  COVEY_TRY_VOID(setting_within("rounds", std::uint64_t{rounds}, 1, kRoundsMax));
  if (seed > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return bad_setting("seed", std::to_string(seed), "must be below 2^63");
  COVEY_TRY_VOID(data.validate());
  COVEY_TRY_VOID(check_fit(*this));
  COVEY_TRY_VOID(check_start(*this));
  COVEY_TRY_VOID(model.validate());
  COVEY_TRY_VOID(train.validate());
  COVEY_TRY_VOID(check_training(*this));
  COVEY_TRY_VOID(above_zero("selection.fraction", selection.fraction, 1.0));
  COVEY_TRY_VOID(setting_within("selection.min_clients", std::uint64_t{selection.min_clients}, 1, kClientsMax));
  COVEY_TRY_VOID(setting_within("selection.over_selection", selection.over_selection, 0.0, 4.0));
  COVEY_TRY_VOID(setting_within("round.deadline_s", seconds(round.deadline), 0.1, 30.0 * 24 * 3600));
  COVEY_TRY_VOID(above_zero("round.quorum", round.quorum, 1.0));
  COVEY_TRY_VOID(setting_within("round.attempts_max", std::uint64_t{round.attempts_max}, 1, 1000));
  COVEY_TRY_VOID(check_quota(*this));
  COVEY_TRY_VOID(check_server(server));
  COVEY_TRY_VOID(check_combine(*this));
  COVEY_TRY_VOID(check_clip(update.clip_norm));
  COVEY_TRY_VOID(setting_within("update.value_max", update.value_max, 1e-6, 1e6));
  COVEY_TRY_VOID(check_privacy(*this));
  COVEY_TRY_VOID(setting_within("simulation.clients", std::uint64_t{simulation.clients}, 1, kClientsMax));
  return simulation.partition.validate();
}

}  // namespace covey
