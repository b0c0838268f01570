// The two ends of a language model: tokens to vectors, and vectors to the next token's loss.
#pragma once
#include "core/nn/head.h"
#include "core/nn/norm_part.h"

namespace covey {

// tokens i32[B,T] -> y[M,D], with learned positions or without.
class EmbeddingLayer final : public Layer {
 public:
  // [V,D]; [T',D] or absent. `place` is of the coins of dropout.
  EmbeddingLayer(Parameter table, Parameter positions, float dropout, std::uint64_t place)
      : table_(table), positions_(positions), dropout_(dropout), place_(place) {}
  void plan(const Plan& plan) override;
  Tensor forward(const Pass& pass, Tensor tokens) override;
  Tensor backward(const Pass& pass, Tensor dy) override;
  bool trained() const override { return table_.trained() || positions_.trained(); }

 private:
  bool drops(const Pass& pass) const { return pass.coins.thrown && dropout_ > 0; }
  Parameter table_, positions_;
  float dropout_;
  std::uint64_t place_;
  Tensor tokens_, y_;
};

// logits[M,V] = norm(x) table^T, whose loss is computed without ever holding them all.
class TokenHead final : public Head {
 public:
  // [V,D]. keeps: bf16 logits' exponentials from their losses to their gradients, instead of computing them twice.
  TokenHead(NormPart norm, Parameter table, bool keeps) : norm_(norm), table_(table), keeps_(keeps) {}
  void plan(const Plan& plan) override;
  Tensor logits(const Pass& pass, Tensor x) override;
  std::int64_t loss(const Pass& pass, Tensor x, const LossCall& call) override;
  Tensor backward(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct) override;
  Tensor backward_again(const Pass& pass, Tensor x, Tensor factors) override;
  bool trained() const override { return norm_.trained() || table_.trained(); }
  SetFirst set_first() const override { return {table_.gradient, true}; }  // an embedding that is the same table adds to it

 private:
  Ops::HeadLoss head(const Pass& pass, Tensor normed, const LossCall& call) const;
  Tensor backward_in_book(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct);
  Tensor backward_norm(const Pass& pass, Tensor x, Tensor dnormed);
  Tensor dlogits(Shape shape) const { return cut(dlogits_.shape.rank() > 0 ? dlogits_ : clip_logits_, shape); }

  NormPart norm_;
  Parameter table_;
  bool keeps_;
  Tensor normed_, kept_;  // bf16 [min(M, kHeadRows), V]
  // Where examples are clipped all logits are kept: [M,V] f32, and their gradients in other types.
  Tensor clip_logits_, dlogits_;
  Arena logits_arena_{0};  // of logits() alone, made when it is first called
  Tensor logits_;
};

}  // namespace covey
