#include "core/nn/token_decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace covey {
namespace {

Tensor rows_of(Tensor x, std::int64_t first, std::int64_t count) {
  const std::int64_t width = x.shape.rank() == 2 ? x.dim(1) : 1;
  return {x.f32() + first * width, x.shape.rank() == 2 ? Shape{count, width} : Shape{count}, x.dtype, x.device};
}

Tensor elements_of(Tensor x, std::int64_t count) { return {x.data, {1, count}, x.dtype, x.device}; }

}  // namespace

TokenDecoder::TokenDecoder(const ModelSpec& spec, std::span<float> parameters, Ops& ops)
    : spec_(spec), ops_(ops), table_(parameter_table(spec)), parameters_(parameters), scores_(spec.context) {
  COVEY_CHECK(spec.family == ModelFamily::kTransformer && parameters.size() == table_.size);
  const std::int64_t width = spec.width, inner = spec.ffn_width(), widest = std::max({width, inner, 3 * width});
  const auto plan = [&](Arena& arena) {
    for (Tensor* tensor : {&x_, &normed_, &q_, &attended_, &added_}) *tensor = arena.take({1, width});
    for (Tensor* tensor : {&gate_, &up_}) *tensor = arena.take({1, inner});
    low_ = arena.take({1, std::max<std::int64_t>(spec.lora.rank, 1)});
    more_ = arena.take({1, widest});
    logits_ = arena.take({1, spec.vocabulary});
    statistics_ = arena.take({2});
    for (Block& block : blocks_)
      for (Tensor* cache : {&block.keys, &block.values}) *cache = arena.take({spec.context, spec.kv_width()});
  };
  for (std::uint32_t i = 0; i < spec.layers; ++i) blocks_.push_back(block(i));
  Arena measuring;
  plan(measuring);
  arena_ = Arena(measuring.used());
  plan(arena_);
  table_of_tokens_ = named(gpt2() ? "transformer.wte.weight" : "model.embed_tokens.weight");
  if (gpt2()) positions_ = named("transformer.wpe.weight");
  last_norm_ = norm(gpt2() ? "transformer.ln_f" : "model.norm");
  head_ = spec.tied_head ? table_of_tokens_ : named("lm_head.weight");
}

Tensor TokenDecoder::named(const std::string& name) const {
  for (const ParameterInfo& info : table_.parameters) {
    if (info.name != name) continue;
    const Shape shape = info.shape.size() == 2 ? Shape{info.shape[0], info.shape[1]} : Shape{info.shape[0]};
    return tensor_of(parameters_.subspan(info.offset, info.size), shape);
  }
  return {};
}

TokenDecoder::Norm TokenDecoder::norm(const std::string& name) const {
  return {named(name + ".weight"), named(name + ".bias")};
}

TokenDecoder::Line TokenDecoder::line(const std::string& name) const {
  const std::string adapter = "base_model.model." + name;
  return {named(name + ".weight"), named(name + ".bias"), named(adapter + ".lora_A.weight"),
          named(adapter + ".lora_B.weight")};
}

TokenDecoder::Block TokenDecoder::block(std::uint32_t layer) {
  Block b;
  if (!gpt2()) {
    const std::string name = "model.layers." + std::to_string(layer) + ".";
    b.attention_norm = norm(name + "input_layernorm");
    b.ffn_norm = norm(name + "post_attention_layernorm");
    b.query = line(name + "self_attn.q_proj");
    b.key = line(name + "self_attn.k_proj");
    b.value = line(name + "self_attn.v_proj");
    b.out = line(name + "self_attn.o_proj");
    b.gate = line(name + "mlp.gate_proj");
    b.up = line(name + "mlp.up_proj");
    b.down = line(name + "mlp.down_proj");
    return b;
  }
  const std::string name = "transformer.h." + std::to_string(layer) + ".";
  b.attention_norm = norm(name + "ln_1");
  b.ffn_norm = norm(name + "ln_2");
  const Line all = line(name + "attn.c_attn");  // rows of query, key and value
  std::int64_t row = 0;
  for (Line* part : {&b.query, &b.key, &b.value}) {
    *part = {rows_of(all.weight, row, spec_.width), rows_of(all.bias, row, spec_.width), all.a,
             all.b.empty() ? Tensor{} : rows_of(all.b, row, spec_.width)};
    row += spec_.width;
  }
  b.out = line(name + "attn.c_proj");
  b.up = line(name + "mlp.c_fc");
  b.down = line(name + "mlp.c_proj");
  return b;
}

void TokenDecoder::apply(const Line& line, Tensor x, Tensor y) {
  ops_.linear(x, line.weight, line.bias, y);
  if (line.a.empty()) return;
  ops_.linear(x, line.a, {}, low_);
  ops_.scale(low_, static_cast<float>(spec_.lora.alpha / spec_.lora.rank));
  const Tensor more = elements_of(more_, y.elements());
  ops_.linear(low_, line.b, {}, more);
  ops_.add(y, more, y);
}

void TokenDecoder::apply(const Norm& norm, Tensor x, Tensor y) {
  const Tensor rstd = rows_of(statistics_, 0, 1), mean = rows_of(statistics_, 1, 1);
  if (norm.bias.empty())
    ops_.rmsnorm(x, norm.gain, y, rstd, spec_.norm_epsilon);
  else
    ops_.layernorm(x, norm.gain, norm.bias, y, mean, rstd, spec_.norm_epsilon);
}

void TokenDecoder::turn(Tensor x, std::int64_t heads) const {
  const std::int64_t size = spec_.width / spec_.heads, half = size / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(size);
    const double angle = static_cast<double>(tokens_) * std::pow(spec_.rope_theta, exponent);
    const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
    for (std::int64_t head = 0; head < heads; ++head) {
      float& a = x.f32()[head * size + i];
      float& b = x.f32()[head * size + i + half];
      const float before = a;
      a = before * c - b * s;
      b = b * c + before * s;
    }
  }
}

// One query over all keys so far.
void TokenDecoder::attend(const Block& block) {
  const std::int64_t size = spec_.width / spec_.heads, kv = spec_.kv_width();
  const auto count = static_cast<std::int64_t>(tokens_) + 1;
  for (std::int64_t head = 0; head < spec_.heads; ++head) {
    const std::int64_t at = head * spec_.kv_head_count() / spec_.heads * size;
    const float* query = q_.f32() + head * size;
    double largest = -INFINITY, sum = 0;
    for (std::int64_t t = 0; t < count; ++t) {
      const float* key = block.keys.f32() + t * kv + at;
      double score = 0;
      for (std::int64_t i = 0; i < size; ++i) score += double{query[i]} * double{key[i]};
      scores_[static_cast<std::size_t>(t)] = score / std::sqrt(static_cast<double>(size));
      largest = std::max(largest, scores_[static_cast<std::size_t>(t)]);
    }
    for (std::int64_t t = 0; t < count; ++t) {
      double& score = scores_[static_cast<std::size_t>(t)];
      sum += score = std::exp(score - largest);
    }
    float* out = attended_.f32() + head * size;
    std::fill_n(out, size, 0.0F);
    for (std::int64_t t = 0; t < count; ++t) {
      const auto share = static_cast<float>(scores_[static_cast<std::size_t>(t)] / sum);
      const float* value = block.values.f32() + t * kv + at;
      for (std::int64_t i = 0; i < size; ++i) out[i] += share * value[i];
    }
  }
}

void TokenDecoder::pass(Block& block) {
  const auto at = static_cast<std::int64_t>(tokens_);
  const Tensor key = rows_of(block.keys, at, 1), value = rows_of(block.values, at, 1);
  apply(block.attention_norm, x_, normed_);
  apply(block.query, normed_, q_);
  apply(block.key, normed_, key);
  apply(block.value, normed_, value);
  if (!gpt2()) {
    turn(q_, spec_.heads);
    turn(key, spec_.kv_head_count());
  }
  attend(block);
  apply(block.out, attended_, added_);
  ops_.add(x_, added_, x_);
  apply(block.ffn_norm, x_, normed_);
  apply(block.up, normed_, up_);
  if (gpt2()) {
    ops_.gelu(up_, gate_, Gelu::kTanh);
  } else {
    apply(block.gate, normed_, gate_);
    ops_.swiglu(gate_, up_, gate_);
  }
  apply(block.down, gate_, added_);
  ops_.add(x_, added_, x_);
}

std::span<const float> TokenDecoder::next(std::int32_t token) {
  COVEY_CHECK(token >= 0 && static_cast<std::uint32_t>(token) < spec_.vocabulary && tokens_ < spec_.context);
  ops_.convert(rows_of(table_of_tokens_, token, 1), x_);
  if (gpt2()) ops_.add(x_, rows_of(positions_, static_cast<std::int64_t>(tokens_), 1), x_);
  for (Block& block : blocks_) pass(block);
  apply(last_norm_, x_, normed_);
  ops_.linear(normed_, head_, {}, logits_);
  ++tokens_;
  return logits_.floats();
}

std::int32_t sample(std::span<const float> logits, const Sampling& sampling, Random& random) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t token) {  // what is no number sorts as the least likely
    const float value = logits[static_cast<std::size_t>(token)];
    return std::isnan(value) ? -INFINITY : value;
  };
  const auto best = *std::max_element(order.begin(), order.end(), [&](auto a, auto b) { return logit(a) < logit(b); });
  if (sampling.temperature <= 0) return best;
  if (sampling.top_k > 0 || sampling.top_p < 1)  // equal logits: the lower token first, on every machine
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logit(a) > logit(b); });
  if (sampling.top_k > 0) order.resize(std::min<std::size_t>(order.size(), sampling.top_k));
  std::vector<double> weights;
  double total = 0;
  for (const std::int32_t token : order) {
    weights.push_back(std::exp((double{logit(token)} - double{logit(best)}) / sampling.temperature));
    total += weights.back();
  }
  if (sampling.top_p < 1) {
    double kept = 0;
    std::size_t count = 0;
    while (count < weights.size() && (count == 0 || kept < sampling.top_p * total)) kept += weights[count++];
    weights.resize(count);
    total = kept;
  }
  double left = random.uniform() * total;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return best;  // only if rounding ate the last weight, or the logits are not numbers
}

Result<std::vector<std::int32_t>> continue_tokens(TokenDecoder& decoder, std::span<const std::int32_t> prompt,
                                                  std::size_t count, const Sampling& sampling, Random random,
                                                  const std::function<bool(std::int32_t)>& each) {
  COVEY_CHECK(!prompt.empty());
  const std::size_t keep = std::min(prompt.size(), decoder.context());
  std::vector<std::int32_t> all(prompt.end() - static_cast<std::ptrdiff_t>(keep), prompt.end());
  const std::size_t start = all.size();
  decoder.forget();
  std::span<const float> logits;
  const auto read = [&](std::size_t from) {
    for (std::size_t i = from; i < all.size(); ++i) logits = decoder.next(all[i]);
  };
  read(0);
  while (all.size() - start < count) {
    if (!std::all_of(logits.begin(), logits.end(), [](float value) { return std::isfinite(value); }))
      return unexpected(ErrorCode::kInvalidData, "after " + std::to_string(all.size() - start) +
                                                     " tokens the model's logits are not finite: its weights are damaged, or training "
                                                     "diverged; use another model");
    const std::int32_t token = sample(logits, sampling, random);
    if (std::find(sampling.ends.begin(), sampling.ends.end(), token) != sampling.ends.end()) break;
    all.push_back(token);
    if (each && !each(token)) break;
    if (decoder.tokens() < decoder.context()) {
      logits = decoder.next(all.back());
      continue;
    }
    decoder.forget();
    read(all.size() - (decoder.context() + 1) / 2);
  }
  return std::vector<std::int32_t>(all.begin() + static_cast<std::ptrdiff_t>(start), all.end());
}

}  // namespace covey
