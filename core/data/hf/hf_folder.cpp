#include "core/data/hf/hf_folder.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/check.h"
#include "core/data/files.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

// Buffers that older versions of transformers saved among the weights.
bool left_out(const HfConfig& config, std::string_view name) {
  if (config.tied_head && name == "lm_head.weight") return true;
  if (config.family == HfFamily::kGpt2)
    return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
  return name.ends_with(".rotary_emb.inv_freq");
}

// As stored: a matrix that is kept [in, out] has its rows for columns.
std::vector<std::uint64_t> stored_shape(const HfPart& part, const HfPlace& place) {
  if (part.shape.size() == 1) return {place.rows};
  if (place.transposed) return {part.shape[1], place.rows};
  return {place.rows, part.shape[1]};
}

// [in, rows] to rows first_row to first_row + out of [rows, in].
std::vector<float> transposed(const std::vector<float>& stored, const HfPart& part, const HfPlace& place) {
  const std::size_t out = part.shape[0], in = part.shape[1];
  std::vector<float> values(out * in);
  constexpr std::size_t kTile = 32;  // lines of both stay in the cache
  for (std::size_t row = 0; row < out; row += kTile)
    for (std::size_t column = 0; column < in; column += kTile)
      for (std::size_t r = row; r < std::min(row + kTile, out); ++r)
        for (std::size_t c = column; c < std::min(column + kTile, in); ++c)
          values[r * in + c] = stored[c * place.rows + place.first_row + r];
  return values;
}

}  // namespace

HfFolder::HfFolder(std::string folder, HfConfig config, TensorFolder tensors)
    : folder_(std::move(folder)),
      config_(std::move(config)),
      parts_(hf_parts(config_)),
      tensors_(std::move(tensors)) {}

std::string HfFolder::full_name(const HfPlace& place) const {
  return prefixed_ ? stored_name(config_, place) : place.name;
}

Result<void> HfFolder::check_tensors() {
  // The model without its head (GPT2Model, LlamaModel; gpt2 on the hub) has names without the prefix.
  const HfPlace embedding = place_of(config_, parts_[0]);
  prefixed_ = tensors_.find(embedding.name) == nullptr;
  std::set<std::string> used;
  for (const HfPart& part : parts_) {
    const HfPlace place = place_of(config_, part);
    const std::string name = full_name(place);
    const TensorPlace* tensor = tensors_.find(name);
    if (tensor == nullptr) return invalid("tensor " + shown(name) + " is missing");
    const auto shape = stored_shape(part, place);
    if (tensor->shape != shape)
      return invalid("tensor " + shown(name) + " has the shape " + shape_text(tensor->shape) +
                     ", by config.json it is " + shape_text(shape));
    used.insert(name);
  }
  for (const std::string& name : tensors_.names())
    if (!used.contains(name) && !left_out(config_, name))
      return invalid("tensor " + shown(name) + " is none of a " + name_of(config_.family) +
                     " with this config.json: is it the right file?");
  return {};
}

Result<HfFolder> HfFolder::open(const std::string& folder) {
  const std::string path = folder + "/config.json";
  COVEY_TRY(const Bytes text, read_data_file(path, kHfConfigBytesMax));
  auto config = parse_hf_config(text_of(text));
  if (!config) return unexpected(in_context(path, config.error()));
  COVEY_TRY(TensorFolder tensors, TensorFolder::open(folder));
  HfFolder result(folder, std::move(*config), std::move(tensors));
  const auto checked = result.check_tensors();
  if (!checked) return unexpected(in_context(folder, checked.error()));
  return result;
}

Result<std::vector<float>> HfFolder::read(const HfPart& part) const {
  COVEY_CHECK(std::find(parts_.begin(), parts_.end(), part) != parts_.end());
  const HfPlace place = place_of(config_, part);
  const std::string name = full_name(place);
  COVEY_TRY(std::vector<float> values, tensors_.read(name));
  if (place.transposed) {
    values = transposed(values, part, place);
  } else if (values.size() != part.elements()) {  // a vector of which this is a stretch
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(place.first_row);
    values = std::vector<float>(first, first + static_cast<std::ptrdiff_t>(part.elements()));
  }
  for (const float value : values)
    if (!std::isfinite(value))
      return invalid(folder_ + ": tensor " + shown(name) + " holds a NaN or an infinity: use another file");
  return values;
}

Result<std::optional<TokenizerSpec>> HfFolder::tokenizer() const {
  const std::string path = folder_ + "/tokenizer.json";
  if (!file_exists(path)) return std::optional<TokenizerSpec>();
  COVEY_TRY(const Bytes text, read_data_file(path, kTokenizerBytesMax));
  auto spec = parse_tokenizer_json(text_of(text));
  if (!spec) return unexpected(in_context(path, spec.error()));
  return std::optional(std::move(*spec));
}

}  // namespace covey
