// Convolutions of stride 1 on the tiles (amx_conv.h), images shared by the threads of a team. Tensors
// outside are plain (NCHW, OIHW), activations f32 or bf16, weights f32. The same bits for any number of
// threads. Nothing is allocated once the largest shape was seen.
#pragma once
#include <cstdint>
#include <vector>

#include "core/tensor/arena.h"
#include "core/tensor/cpu/kernels.h"
#include "core/tensor/op_shapes.h"
#include "core/tensor/team.h"

namespace covey::cpu {

class ConvTiles {  // one per thread of use
 public:
  // `team` outlives this. `tiles`: whether they may be used where amx_usable().
  ConvTiles(Team& team, const Kernels& kernels, bool tiles);

  // Whether they serve y = conv(x, w), or its gradient by w; and the gradient by x.
  bool serve(const ConvSize& size) const;
  bool serve_grad_input(const ConvSize& size) const;

  void forward(const ConvSize& size, Tensor x, const float* w, const float* bias, Tensor y);
  // y = max(the largest of each 2x2 of the convolution, 0), argmax as Ops::maxpool2's.
  struct Pooled {
    Tensor y, argmax;
  };
  void forward_pooled(const ConvSize& size, Tensor x, const float* w, const float* bias, Pooled out);
  // Of the outputs; or, where there are y and argmax, of what forward_pooled() made of them.
  struct Gradient {
    Tensor dy, y{}, argmax{};
  };
  void grad_input(const ConvSize& size, const Gradient& dy, const float* w, Tensor dx);
  // dw += ..., db += ...; db may be null.
  void grad_weight(const ConvSize& size, const Gradient& dy, Tensor x, float* dw, float* db);
  // Each image's gradients apart: to `kept` [B, conv_example_floats()] as they are multiplied, and squares [B] +=
  // theirs while they are in the cache.
  struct Examples {
    float *kept, *squares;
    Bias bias;
  };
  void example_grads(const ConvSize& size, const Gradient& dy, Tensor x, const Examples& to);
  // dw += ..., db += the sums of what was kept times `factors` [B]; `type`: of x.
  struct Scaled {
    const float *kept, *factors;
  };
  void add_examples(const ConvSize& size, DType type, const Scaled& from, float* dw, float* db);

 private:
  struct Layout;
  struct WeightPlaces;
  struct Strip;
  Layout layout_of(const ConvSize& size, DType type);
  const std::uint16_t* pack_weights(const Layout& layout, const float* w, const WeightPlaces& places);
  template <class Finish>
  void images(const Layout& layout, const Gradient& x, const std::uint16_t* weights, Finish finish);
  void outputs(const Layout& layout, const Gradient& x, const std::uint16_t* weights, const float* bias, Tensor y);
  void clear_rooms(std::int64_t floats);
  void prepare_strips(const Layout& layout, std::int64_t slots);
  void lines_of(const Layout& layout, const Gradient& x, std::int64_t image, int member);
  void strip(const Layout& layout, const Strip& strip, const Gradient& dy, Tensor x, int member);
  void add_sums(const Layout& layout, const float* sums, float* dw, float* db);
  float* room(std::size_t index, std::int64_t floats);
  void prepare(std::int64_t floats);

  Team& team_;
  const Kernels& kernels_;
  bool tiles_;
  std::vector<Arena> rooms_;  // one of each member, and those that all share
  std::vector<float*> starts_;
  std::vector<std::int64_t> shifts_;
  std::vector<std::vector<const float*>> rows_;  // of each member
};

}  // namespace covey::cpu
