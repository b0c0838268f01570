// A transformer read one token at a time: keys and values of the tokens before are kept, so that each token
// costs one pass over the parameters.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "core/base/random.h"
#include "core/spec/parameter_table.h"
#include "core/tensor/arena.h"
#include "core/tensor/ops.h"

namespace covey {

class TokenDecoder {
 public:
  // `spec` is a valid transformer, `parameters` its table's values; they and `ops` outlive this.
  TokenDecoder(const ModelSpec& spec, std::span<float> parameters, Ops& ops);
  // The logits that follow the tokens so far and this one, valid until the next call. At most
  // spec.context tokens.
  std::span<const float> next(std::int32_t token);
  std::size_t tokens() const { return tokens_; }
  std::size_t context() const { return spec_.context; }
  void forget() { tokens_ = 0; }

 private:
  struct Line {  // a linear layer, perhaps with an adapter
    Tensor weight, bias, a, b;
  };
  struct Norm {
    Tensor gain, bias;
  };
  struct Block {
    Norm attention_norm, ffn_norm;
    Line query, key, value, out, gate, up, down;
    Tensor keys, values;  // [T,KV]
  };

  bool gpt2() const { return spec_.style == TransformerStyle::kGpt2; }
  Tensor named(const std::string& name) const;  // empty where there is none
  Norm norm(const std::string& name) const;
  Line line(const std::string& name) const;
  Block block(std::uint32_t layer);
  void apply(const Line& line, Tensor x, Tensor y);
  void apply(const Norm& norm, Tensor x, Tensor y);
  void turn(Tensor x, std::int64_t heads) const;  // rotary, at this position
  void attend(const Block& block);
  void pass(Block& block);

  ModelSpec spec_;
  Ops& ops_;
  ParameterTable table_;
  std::span<float> parameters_;
  Arena arena_{0};
  std::vector<Block> blocks_;
  Norm last_norm_;
  Tensor table_of_tokens_, positions_, head_;
  Tensor x_, normed_, q_, attended_, added_, gate_, up_, low_, more_, logits_, statistics_;
  std::vector<double> scores_;
  std::size_t tokens_ = 0;
};

struct Sampling {
  double temperature = 1;    // 0: the likeliest token
  std::uint32_t top_k = 0;   // among so many of the likeliest; 0: all
  double top_p = 1;          // among the fewest whose share is at least this (Holtzman et al. 2020)
  std::vector<std::int32_t> ends = {};  // continue_tokens() stops in front of these
};
// A token drawn from softmax(logits / temperature). NaN logits give the first token.
std::int32_t sample(std::span<const float> logits, const Sampling& sampling, Random& random);

// At most `count` tokens that continue `prompt`, which has at least one. Where more than the context's tokens have
// been read, the last half of them is read anew. `each` gets every token as it is drawn; where it says false, that
// one is the last. Errors: kInvalidData where a logit is no finite number: what is drawn from such says nothing.
Result<std::vector<std::int32_t>> continue_tokens(TokenDecoder& decoder, std::span<const std::int32_t> prompt,
                                                  std::size_t count, const Sampling& sampling, Random random,
                                                  const std::function<bool(std::int32_t)>& each = {});

}  // namespace covey
