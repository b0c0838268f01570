#include "core/spec/model_spec.h"

#include <algorithm>
#include <string>

#include "core/spec/parameter_table.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint64_t kParametersMax = std::uint64_t{1} << 31;
constexpr std::uint64_t kFeaturesMax = 1 << 20;
constexpr std::uint64_t kWidthMax = 65'536;
constexpr std::uint64_t kLayersMax = 256;

Result<void> check_mlp(const ModelSpec& spec) {
  COVEY_TRY_VOID(setting_within("size of model.hidden", std::uint64_t{spec.hidden.size()}, 1, 64));
  for (std::size_t i = 0; i < spec.hidden.size(); ++i)
    COVEY_TRY_VOID(setting_within("model.hidden[" + std::to_string(i) + "]",
                                  std::uint64_t{spec.hidden[i]}, 1, kWidthMax));
  return {};
}

// Every pooling halves both sides, and an odd one would lose a row.
Result<void> check_side(std::string_view name, std::uint32_t side, std::size_t poolings) {
  COVEY_TRY_VOID(setting_within(name, std::uint64_t{side}, 1, 4096));
  const std::uint32_t factor = std::uint32_t{1} << poolings;
  if (side % factor == 0) return {};
  return bad_setting(name, std::to_string(side),
                     "must be a multiple of " + std::to_string(factor) + ", because " +
                         std::to_string(poolings) + " layers of model.conv_channels each halve it; try " +
                         std::to_string((side / factor + 1) * factor));
}

// Norms of the separable blocks are over groups of this many channels.
constexpr std::uint32_t kChannelGroup = 8;

Result<void> check_separable(const ModelSpec& spec) {
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i)
    if (const std::uint32_t channels = spec.conv_channels[i]; channels % kChannelGroup != 0)
      return bad_setting("model.conv_channels[" + std::to_string(i) + "]", std::to_string(channels),
                         "must be a multiple of 8 with model.blocks = \"separable\", whose norms take 8 channels "
                         "together; try " + std::to_string((channels / kChannelGroup + 1) * kChannelGroup));
  return {};
}

Result<void> check_cnn(const ModelSpec& spec) {
  COVEY_TRY_VOID(setting_within("size of model.conv_channels",
                                std::uint64_t{spec.conv_channels.size()}, 1, 8));
  for (std::size_t i = 0; i < spec.conv_channels.size(); ++i)
    COVEY_TRY_VOID(setting_within("model.conv_channels[" + std::to_string(i) + "]",
                                  std::uint64_t{spec.conv_channels[i]}, 1, 8192));
  COVEY_TRY_VOID(setting_within("model.image_channels", std::uint64_t{spec.image_channels}, 1, 1024));
  COVEY_TRY_VOID(check_side("model.image_height", spec.image_height, spec.conv_channels.size()));
  COVEY_TRY_VOID(check_side("model.image_width", spec.image_width, spec.conv_channels.size()));
  COVEY_TRY_VOID(setting_within("model.kernel", std::uint64_t{spec.kernel}, 1, 31));
  if (spec.kernel % 2 == 0)
    return bad_setting("model.kernel", std::to_string(spec.kernel),
                       "must be odd, for \"same\" padding; try " + std::to_string(spec.kernel + 1));
  COVEY_TRY_VOID(setting_within("model.dense", std::uint64_t{spec.dense}, 1, kWidthMax));
  switch (spec.blocks) {
    case CnnBlocks::kFedAvg: return {};
    case CnnBlocks::kCifar: return setting_within("model.dense", std::uint64_t{spec.dense}, 2, kWidthMax);
    case CnnBlocks::kSeparable: return check_separable(spec);
  }
  return bad_setting("model.blocks", std::to_string(static_cast<int>(spec.blocks)), "is not a known kind");
}

// The nearest number of heads that divides the width into even head dimensions; the larger of two.
std::uint32_t heads_near(std::uint32_t heads, std::uint32_t width) {
  for (std::uint32_t distance = 1;; ++distance) {
    if ((width / 2) % (heads + distance) == 0) return heads + distance;
    if (heads > distance && (width / 2) % (heads - distance) == 0) return heads - distance;
  }
}

// The nearest number that divides `heads`; the larger of two.
std::uint32_t divisor_near(std::uint32_t number, std::uint32_t heads) {
  for (std::uint32_t distance = 1;; ++distance) {
    if (number + distance <= heads && heads % (number + distance) == 0) return number + distance;
    if (number > distance && heads % (number - distance) == 0) return number - distance;
  }
}

Result<void> check_style(const ModelSpec& spec) {
  if (spec.style != TransformerStyle::kLlama && spec.style != TransformerStyle::kGpt2)
    return bad_setting("model.style", std::to_string(static_cast<int>(spec.style)), "is not a known style");
  const bool gpt2 = spec.style == TransformerStyle::kGpt2;
  COVEY_TRY_VOID(setting_within("model.kv_heads", std::uint64_t{spec.kv_heads}, 0, spec.heads));
  if (gpt2 && spec.kv_head_count() != spec.heads)
    return bad_setting("model.kv_heads", std::to_string(spec.kv_heads),
                       "belongs to model.style = \"llama\"; remove it");
  if (spec.heads % spec.kv_head_count() != 0)
    return bad_setting("model.kv_heads", std::to_string(spec.kv_heads),
                       "must divide model.heads = " + std::to_string(spec.heads) + "; try " +
                           std::to_string(divisor_near(spec.kv_heads, spec.heads)));
  COVEY_TRY_VOID(setting_within("model.norm_epsilon", spec.norm_epsilon, 1e-12, 0.1));
  COVEY_TRY_VOID(setting_within("model.rope_theta", spec.rope_theta, 1.0, 1e9));
  if (gpt2 && spec.rope_theta != ModelSpec{}.rope_theta)
    return bad_setting("model.rope_theta", setting_text(spec.rope_theta),
                       "belongs to model.style = \"llama\"; remove it");
  return setting_within("model.dropout", spec.dropout, 0.0, 0.9);
}

Result<void> check_lora(const ModelSpec& spec) {
  const LoraSpec& lora = spec.lora;
  if (lora.rank == 0) {
    if (lora == LoraSpec{}) return {};
    return bad_setting("model.lora.rank", "0", "other settings of model.lora need one; try 8");
  }
  if (spec.family != ModelFamily::kTransformer)
    return bad_setting("model.lora.rank", std::to_string(lora.rank),
                       "adapters belong to model.family = \"transformer\"; remove [model.lora]");
  COVEY_TRY_VOID(setting_within("model.lora.rank", std::uint64_t{lora.rank}, 1, 1024));
  COVEY_TRY_VOID(setting_within("model.lora.alpha", lora.alpha, 1e-3, 1e6));
  COVEY_TRY_VOID(setting_within("model.lora.dropout", lora.dropout, 0.0, 0.9));
  COVEY_TRY_VOID(setting_within("size of model.lora.targets", std::uint64_t{lora.targets.size()}, 1, 64));
  for (const std::string& target : lora.targets) {
    if (target.empty() || target.size() > 128)
      return bad_setting("model.lora.targets", setting_text(target), "must have 1 to 128 bytes");
    const std::vector<std::string> layers = adaptable_layers(spec);
    if (std::none_of(layers.begin(), layers.end(),
                     [&](const std::string& layer) { return matches_pattern(layer, target); }))
      return bad_setting("model.lora.targets", setting_text(target),
                         "names no linear layer of this model; try " +
                             setting_text(std::string(spec.style == TransformerStyle::kGpt2 ? "*c_attn" : "*q_proj")));
  }
  return {};
}

Result<void> check_transformer(const ModelSpec& spec) {
  COVEY_TRY_VOID(setting_within("model.vocabulary", std::uint64_t{spec.vocabulary}, 2, kFeaturesMax));
  COVEY_TRY_VOID(setting_within("model.layers", std::uint64_t{spec.layers}, 1, kLayersMax));
  COVEY_TRY_VOID(setting_within("model.width", std::uint64_t{spec.width}, 2, kWidthMax));
  if (spec.width % 2 != 0)
    return bad_setting("model.width", std::to_string(spec.width),
                       "must be even, for rotary positions; try " + std::to_string(spec.width + 1));
  COVEY_TRY_VOID(setting_within("model.heads", std::uint64_t{spec.heads}, 1, spec.width / 2));
  if (spec.width % spec.heads != 0)
    return bad_setting("model.heads", std::to_string(spec.heads),
                       "must divide model.width = " + std::to_string(spec.width) + "; try " +
                           std::to_string(heads_near(spec.heads, spec.width)));
  if ((spec.width / spec.heads) % 2 != 0)
    return bad_setting("model.heads", std::to_string(spec.heads),
                       "model.width / model.heads = " + std::to_string(spec.width / spec.heads) +
                           " must be even, for rotary positions; try " +
                           std::to_string(heads_near(spec.heads, spec.width)));
  COVEY_TRY_VOID(setting_within("model.ffn", std::uint64_t{spec.ffn}, 0, 4 * kWidthMax));
  COVEY_TRY_VOID(setting_within("model.context", std::uint64_t{spec.context}, 1, kWidthMax));
  return check_style(spec);
}

Result<void> check_family(const ModelSpec& spec) {
  if (spec.family == ModelFamily::kTransformer) return check_transformer(spec);
  COVEY_TRY_VOID(setting_within("model.classes", std::uint64_t{spec.classes}, 2, kWidthMax));
  if (spec.family == ModelFamily::kCnn) return check_cnn(spec);
  COVEY_TRY_VOID(setting_within("model.inputs", std::uint64_t{spec.inputs}, 1, kFeaturesMax));
  if (spec.family == ModelFamily::kMlp) return check_mlp(spec);
  if (!spec.hidden.empty())
    return bad_setting("size of model.hidden", std::to_string(spec.hidden.size()),
                       "model.family = \"logistic\" has no hidden layers; remove it or try \"mlp\"");
  return {};
}

}  // namespace

const char* name_of(ModelFamily family) {
  switch (family) {
    case ModelFamily::kLogistic: return "logistic";
    case ModelFamily::kMlp: return "mlp";
    case ModelFamily::kCnn: return "cnn";
    case ModelFamily::kTransformer: return "transformer";
  }
  return "unknown";
}

Result<ModelFamily> model_family_from(std::string_view name) {
  for (const auto family : {ModelFamily::kLogistic, ModelFamily::kMlp, ModelFamily::kCnn,
                            ModelFamily::kTransformer})
    if (name == name_of(family)) return family;
  return bad_setting("model.family", setting_text(name),
                     "must be \"logistic\", \"mlp\", \"cnn\" or \"transformer\"");
}

const char* name_of(TransformerStyle style) {
  switch (style) {
    case TransformerStyle::kLlama: return "llama";
    case TransformerStyle::kGpt2: return "gpt2";
  }
  return "unknown";
}

Result<TransformerStyle> transformer_style_from(std::string_view name) {
  for (const auto style : {TransformerStyle::kLlama, TransformerStyle::kGpt2})
    if (name == name_of(style)) return style;
  return bad_setting("model.style", setting_text(name), "must be \"llama\" or \"gpt2\"");
}

const char* name_of(CnnBlocks blocks) {
  switch (blocks) {
    case CnnBlocks::kFedAvg: return "fedavg";
    case CnnBlocks::kCifar: return "cifar";
    case CnnBlocks::kSeparable: return "separable";
  }
  return "unknown";
}

Result<CnnBlocks> cnn_blocks_from(std::string_view name) {
  for (const auto blocks : {CnnBlocks::kFedAvg, CnnBlocks::kCifar, CnnBlocks::kSeparable})
    if (name == name_of(blocks)) return blocks;
  return bad_setting("model.blocks", setting_text(name), "must be \"fedavg\", \"cifar\" or \"separable\"");
}

bool matches_pattern(std::string_view name, std::string_view pattern) {
  const bool before = pattern.starts_with('*'), after = pattern.size() > 1 && pattern.ends_with('*');
  pattern.remove_prefix(before ? 1 : 0);
  pattern.remove_suffix(after ? 1 : 0);
  if (before && after) return name.find(pattern) != std::string_view::npos;
  if (before) return name.ends_with(pattern);
  return after ? name.starts_with(pattern) : name == pattern;
}

bool LoraSpec::adapts(std::string_view layer) const {
  return rank > 0 && std::any_of(targets.begin(), targets.end(),
                                 [&](const std::string& target) { return matches_pattern(layer, target); });
}

std::uint32_t ModelSpec::ffn_width() const {
  if (ffn != 0) return ffn;
  if (style == TransformerStyle::kGpt2) return 4 * width;
  const std::uint32_t exact = (8 * width + 2) / 3;
  return (exact + 31) / 32 * 32;
}

Result<void> ModelSpec::validate() const {
  if (name_of(family) == std::string_view("unknown"))
    return bad_setting("model.family", std::to_string(static_cast<int>(family)),
                       "is not a known family");
  COVEY_TRY_VOID(check_family(*this));
  COVEY_TRY_VOID(check_lora(*this));
  // The bounds above keep this sum below 2^64 and the table below some thousand rows.
  const std::uint64_t parameters = parameter_table(*this).size;
  if (parameters > kParametersMax)
    return bad_setting("parameters of model", std::to_string(parameters),
                       "must be at most 2147483648; make the model narrower or shallower");
  return {};
}

}  // namespace covey
