// A block of a decoder: x1 = x + out(attention(q, k, v)) of norm(x);  y = x1 + down(activation) of norm(x1).
// llama: rotary positions, activation silu(gate) * up; gpt2: activation gelu(up). M = batch * length.
#pragma once
#include "core/nn/layer.h"
#include "core/nn/norm_part.h"
#include "core/nn/projection.h"
#include "core/spec/model_spec.h"

namespace covey {

struct BlockParts {
  NormPart attention_norm, ffn_norm;
  Projection query, key, value, out;  // [D,D], [KV,D] twice, [D,D]
  Projection gate, up, down;          // [F,D] twice, [D,F]; gpt2 has no gate
};

// The shape of a block, without its parameters.
struct BlockShape {
  TransformerStyle style = TransformerStyle::kLlama;
  std::int64_t heads = 0, kv_heads = 0, head_width = 0, inner = 0;
  double rope_theta = 10'000;
  float dropout = 0;
  std::uint64_t place = 0;  // of its coins: this and the next
};

// keep: what backward needs stays where forward put it, but for norms and activations of wide blocks, which are
// made again from what they were made of (in f32, of twice the bytes, the first sum too); they are kept where a book of
// examples refers to them. again: it lies in memory that all such blocks share, and backward computes it once
// more from x.
enum class Kept : std::uint8_t { kKeep, kAgain };

class TransformerBlock final : public Layer {
 public:
  TransformerBlock(BlockParts parts, BlockShape shape, Kept kept) : p_(parts), s_(shape), kept_(kept) {}
  void plan(const Plan& plan) override;         // y, and what is kept
  void plan_inside(const Plan& plan);           // of Kept::kAgain: what may be shared
  Kept kept() const { return kept_; }
  Tensor forward(const Pass& pass, Tensor x) override;
  Tensor backward(const Pass& pass, Tensor dy) override;  // in place: dx is dy's memory
  bool trained() const override;
  void set_first(std::vector<SetFirst>& out) const;

 private:
  using Layer::set_first;
  bool llama() const { return s_.style == TransformerStyle::kLlama; }
  std::int64_t width() const { return s_.heads * s_.head_width; }
  std::int64_t kv_width() const { return s_.kv_heads * s_.head_width; }
  Shape narrow(const Pass& pass) const { return {pass.extent.rows(), width()}; }
  Shape kv(const Pass& pass) const { return {pass.extent.rows(), kv_width()}; }
  Shape wide(const Pass& pass) const { return {pass.extent.rows(), s_.inner}; }
  Tensor by_head(const Pass& pass, Tensor x, std::int64_t heads) const;  // [B,T,heads,Dh]
  void want_work(const Plan& plan) const;
  bool sums_again(DType activations) const { return remade_ && activations == DType::kF32; }
  Tensor first_sum(const Pass& pass) const;  // in forward
  Tensor spare(const Pass& pass, std::int64_t i, Slot slot, Shape shape) const;
  Tensor dropped(const Pass& pass, Tensor x, Tensor y, std::uint64_t use) const;
  // `kept` or, where it is not, work memory.
  Tensor kept_or(const Pass& pass, Tensor kept, Slot slot, Shape shape) const {
    return remade_ ? pass.workspace.get(slot, shape) : cut(kept, shape);
  }

  void forward_attention(const Pass& pass);
  void forward_ffn(const Pass& pass);
  // d: the gradient of the block's running sum, read and added to.
  void backward_ffn(const Pass& pass, Tensor d);
  Tensor backward_down(const Pass& pass, Tensor dout, Tensor dup);
  void backward_attention(const Pass& pass, Tensor d);
  void backward_queries(const Pass& pass, Tensor d, Tensor dattended);

  BlockParts p_;
  BlockShape s_;
  Kept kept_;
  bool remade_ = false;  // what norms and activations made
  Tensor x_, normed_, q_, k_, v_, attended_, lse_;
  Tensor x1_, normed1_, gate_, up_, activated_, y_;
};

}  // namespace covey
