// Ops for processors: matrix products and convolutions by tiles (product.h, conv_tiles.h) or oneDNN, all
// else by our own loops. Work is cut into pieces by size alone and shared by the team; results do not
// depend on how many threads it has.
#pragma once
#include <memory>
#include <vector>

#include "core/tensor/arena.h"
#include "core/tensor/cpu/conv_engine.h"
#include "core/tensor/cpu/conv_tiles.h"
#include "core/tensor/cpu/few_rows.h"
#include "core/tensor/cpu/kernels.h"
#include "core/tensor/cpu/product.h"
#include "core/tensor/ops.h"

namespace covey {

enum class Tiles : std::uint8_t { kNever, kWhereUsable };

class CpuOps final : public Ops {  // one per thread of use
 public:
  explicit CpuOps(const cpu::Kernels& kernels, Tiles tiles = Tiles::kWhereUsable);  // on the calling thread
  CpuOps(const cpu::Kernels& kernels, Tiles tiles, Team& team);                      // `team` outlives this
  const char* name() const override { return "cpu"; }

  void linear(Tensor x, Tensor w, Tensor b, Tensor y) override;
  void linear_grad_input(Tensor dy, Tensor w, Tensor dx) override;
  void linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) override;
  void linears(Tensor x, std::span<const LinearPart> parts) override;
  void linears_grad_input(std::span<const GradientPart> parts, Tensor dx) override;
  double linears_grad_weight(std::span<const GradientPart> parts, Tensor x) override;
  std::int64_t packed_bytes(Shape weight, DType activations) override;
  void pack_weight(Tensor w, DType activations, Tensor packed) override;
  void linear(Tensor x, Weight w, Tensor b, Tensor y) override;
  void linear_grad_input(Tensor dy, Weight w, Tensor dx) override;
  void quantize_rows(Tensor w, Tensor codes, Tensor scales) override;
  void linear_i8(Tensor x, Tensor codes, Tensor scales, Tensor b, Tensor y) override;
  double linear_first_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) override;
  void linear_i8_grad_input(Tensor dy, Tensor codes, Tensor scales, Tensor dx) override;
  void convert(Tensor x, Tensor y) override;
  void embedding(Tensor tokens, Tensor table, Tensor y) override;
  void embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) override;
  void embedding_at(Tensor tokens, Tensor table, Tensor positions, Tensor y) override;
  void positions_grad(Tensor dy, Tensor dpositions) override;
  void rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd, double epsilon) override;
  void rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) override;
  void add_rmsnorm(Tensor a, Tensor b, Tensor sum, Tensor g, Tensor y, Tensor rstd, double epsilon) override;
  void layernorm(Tensor x, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd, double epsilon) override;
  void add_layernorm(Tensor a, Tensor x, Tensor sum, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd,
                     double epsilon) override;
  void layernorm_grad(Tensor x, Tensor g, Tensor mean, Tensor rstd, Tensor dy, Tensor dx, Tensor dg,
                      Tensor db) override;
  void rope(Tensor x, int direction, double base) override;
  void attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) override;
  void attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy, Tensor dq,
                      Tensor dk, Tensor dv) override;
  void swiglu(Tensor gate, Tensor up, Tensor y) override;
  void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup, Tensor y) override;
  void gelu(Tensor x, Tensor y, Gelu kind) override;
  void gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind, Tensor y) override;
  void dropout(Tensor x, Tensor y, Dropout coins) override;
  void relu(Tensor x, Tensor y) override;
  void relu_grad(Tensor y, Tensor dy, Tensor dx) override;
  void conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) override;
  void conv2d_pool_grad(const ConvPoolGrad& grad) override;
  void conv2d_pool_example_grads(const ConvPoolGrad& grad, Tensor kept, Tensor squares) override;
  void add_conv_examples(const ConvPoolGrad& grad, Tensor kept, Tensor factors) override;
  void conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) override;
  void conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db,
                          ConvGeometry geometry) override;
  void conv2d_pool(Tensor x, Tensor w, Tensor b, Tensor conv, Tensor y, Tensor argmax, ConvGeometry geometry) override;
  void depthwise_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) override;
  void depthwise_conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) override;
  void depthwise_conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) override;
  void maxpool2(Tensor x, Tensor y, Tensor argmax) override;
  void maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) override;
  std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits,
                                     LossTerms terms) override;
  std::int64_t head_loss(const HeadLoss& head) override;
  void example_squares(Tensor x, Tensor squares) override;
  void linear_grad_squares(Tensor dy, Tensor x, Bias bias, Tensor squares) override;
  void embedding_grad_squares(Tensor tokens, Tensor dy, Tensor squares) override;
  void tied_grad_squares(Tensor dlogits, Tensor x, Tensor tokens, Tensor dy, Tensor squares) override;
  void scale_examples(Tensor x, Tensor factors) override;
  void add(Tensor a, Tensor b, Tensor y) override;
  void fill(Tensor y, float value) override;
  double squared_norm(Tensor x) override;
  void scale(Tensor x, float factor) override;
  void sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) override;
  void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) override;
  void lion(Tensor p, Tensor g, Tensor m, LionStep step) override;
  void muon(Tensor p, Tensor g, Tensor momentum, MuonStep step) override;

 private:
  struct RopeTable {
    std::int64_t length = 0, half = 0;
    double base = 0;
    std::vector<float> cosines, sines;  // [length, half]
  };
  const RopeTable& rope_table(std::int64_t length, std::int64_t half, double base);
  float* scratch(std::int64_t floats);               // valid until the next call
  void prepare_member_scratch(std::int64_t floats);  // before a team runs, so that nobody allocates
  float* member_scratch(int member) { return member_data_[static_cast<std::size_t>(member)]; }

  struct Norm {
    Tensor x, branch{}, sum{}, gain, bias{}, y, mean{}, rstd;  // empty: not asked for
    double epsilon = kNormEpsilon;
  };
  void norm_rows(const Norm& norm);
  struct NormGrad {
    Tensor x, gain, mean{}, rstd, dy, dx, dgain, dbias{};
  };
  void norm_grad_rows(const NormGrad& grad);
  Tensor conv_weight(Tensor w, DType activations, float* room);
  bool pools_by_tiles(const ConvPoolGrad& grad) const;
  Tensor widened(Tensor x, float* room);  // f16 as f32, in `room`
  void add_column_sums(Tensor x, std::int64_t m, std::int64_t n, float* sums);
  bool attends_by_tiles(Tensor q) const;
  std::int64_t attention_floats(Tensor q, const cpu::HeadSize& size) const;
  template <class T>
  cpu::AttentionKernels<T> attention_kernels(Tensor q) const;
  float* dequantized(Tensor codes, Tensor scales);
  struct HeadRows;
  void head_logits(const HeadLoss& head, const HeadRows& rows, std::int64_t first, std::int64_t count);
  std::int64_t head_losses(const HeadLoss& head, const HeadRows& rows);
  void kept_gradients(const HeadLoss& head, const HeadRows& rows, std::int64_t first, std::int64_t count);
  void tile_gradients(const HeadLoss& head, const HeadRows& rows, std::int64_t first, std::int64_t count);
  void head_gradients(const HeadLoss& head, const HeadRows& rows);

  float* example_room(std::int64_t floats);  // valid until the next call
  double ghost_square(Tensor dy, Tensor x, Bias bias, float* room);
  double gradient_square(Tensor dy, Tensor x, Bias bias, float* room);

  const cpu::Kernels& kernels_;
  std::unique_ptr<Team> own_team_;  // where none was given
  Team& team_;
  cpu::ProductEngine products_;
  cpu::FewRows few_rows_;
  cpu::ConvTiles conv_tiles_;
  cpu::ConvEngine conv_;
  RopeTable rope_;
  Arena scratch_{0};
  float* scratch_data_ = nullptr;
  Arena summand_{0};  // of linears_grad_input, where products are not computed together
  Arena dequantized_{0};
  float* dequantized_data_ = nullptr;
  Arena example_room_{0};
  float* example_data_ = nullptr;
  std::vector<Arena> member_scratch_;
  std::vector<float*> member_data_;
};

namespace cpu {

template <class T>
const TypedKernels<T>& typed(const Kernels& kernels) {
  if constexpr (std::is_same_v<T, float>)
    return kernels.f32;
  else if constexpr (std::is_same_v<T, Bf16>)
    return kernels.bf16;
  else
    return kernels.f16;
}

// work(T{}) where T is what `dtype` stores: float, Bf16 or F16.
template <class Work>
auto with_type(DType dtype, Work work) {
  if (dtype == DType::kBf16) return work(Bf16{});
  if (dtype == DType::kF16) return work(F16{});
  return work(float{});
}

// Cuts [0, n) into pieces of `piece` and gives them to the team: part(begin, count, member).
template <class Part>
void share(Team& team, std::int64_t n, std::int64_t piece, Part part) {
  team.run((n + piece - 1) / piece, [&](std::int64_t i, int member) {
    const std::int64_t begin = i * piece;
    part(begin, n - begin < piece ? n - begin : piece, member);
  });
}

constexpr std::int64_t kPieceElements = 32'768;
// Rows of `width` elements that make such a piece.
constexpr std::int64_t piece_rows(std::int64_t width) {
  return width >= kPieceElements ? 1 : kPieceElements / (width > 0 ? width : 1);
}

}  // namespace cpu
}  // namespace covey
