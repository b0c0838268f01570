#include "core/tensor/cpu/conv_engine.h"

#include <array>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <vector>

#include "core/base/check.h"
#include "core/tensor/cpu/single_thread.h"

namespace covey::cpu {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Convolution = dnnl::convolution_forward;
using GradInput = dnnl::convolution_backward_data;
using GradWeight = dnnl::convolution_backward_weights;

constexpr std::size_t kPlansMax = 32;  // a model has a few shapes; last minibatches add a few more

using Type = memory::data_type;

memory::desc plain(const memory::dims& dims, Tag tag, Type type) { return {dims, type, tag}; }
memory::desc any(const memory::dims& dims, Type type) { return plain(dims, Tag::any, type); }

struct Descriptions {
  Type type;  // of activations, and of the weights as they are multiplied
  memory::dims x, w, b, y, strides{1, 1}, padding;
  Descriptions(const ConvSize& s, DType of)
      : type(of == DType::kBf16 ? Type::bf16 : Type::f32),
        x{s.batch, s.in, s.height, s.width},
        w{s.out, s.in, s.kernel, s.kernel},
        b{s.out},
        y{s.batch, s.out, s.out_height, s.out_width},
        padding{s.padding, s.padding} {}
};

// One operand: the caller's plain array and, where the library wants another layout, a copy of it.
struct Operand {
  memory outer, inner;
  std::optional<dnnl::reorder> conversion;
};

enum Slot : std::size_t { kX, kW, kY, kSlots };

struct Step {
  dnnl::primitive primitive;
  std::array<Operand, kSlots> operands;
  memory bias;
};

struct Plan {
  ConvSize size;
  DType type;
  std::optional<Step> forward, grad_input, grad_weight;
};

// Our descriptions are valid by construction, so a refusal is a bug of ours or a lack of memory.
template <class Work>
void guarded(Work work) {
  const SingleThread alone;
  try {
    work();
  } catch (const dnnl::error& error) {
    check_failed(error.message, __FILE__, __LINE__);
  }
}

}  // namespace

struct ConvEngine::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Convolution::primitive_desc hint(const ConvSize& size, DType type);
  std::vector<Plan> plans;
  std::array<memory, kSlots> scratch;  // grown to the largest operand of each kind
  std::vector<float> zeros;

  Plan& plan(const ConvSize& size, DType type);
  Operand operand(const memory::desc& outside, const memory::desc& inside, bool is_output);
  Step make_forward(const ConvSize& size, DType type);
  Step make_grad_input(const ConvSize& size, DType type);
  Step make_grad_weight(const ConvSize& size, DType type);
  void* scratch_of(Slot slot, std::size_t bytes);
  void attach(Step& step, Slot slot, const void* data);
  void convert(Step& step, Slot slot, bool inwards);
};

Plan& ConvEngine::State::plan(const ConvSize& size, DType type) {
  for (Plan& known : plans)
    if (known.size == size && known.type == type) return known;
  if (plans.size() == kPlansMax) plans.clear();
  return plans.emplace_back(Plan{size, type, {}, {}, {}});
}

Operand ConvEngine::State::operand(const memory::desc& outside, const memory::desc& inside,
                                   bool is_output) {
  Operand made{memory(outside, engine, DNNL_MEMORY_NONE), memory(inside, engine, DNNL_MEMORY_NONE),
               std::nullopt};
  if (outside == inside) return made;
  made.conversion = is_output ? dnnl::reorder(made.inner, made.outer)
                              : dnnl::reorder(made.outer, made.inner);
  return made;
}

Convolution::primitive_desc ConvEngine::State::hint(const ConvSize& size, DType type) {
  const Descriptions d(size, type);
  return {{dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, any(d.x, d.type),
           any(d.w, d.type), any(d.b, Type::f32), any(d.y, d.type), d.strides, d.padding, d.padding},
          engine};
}

Step ConvEngine::State::make_forward(const ConvSize& size, DType type) {
  const Descriptions d(size, type);
  const Convolution::primitive_desc made = hint(size, type);
  return {Convolution(made),
          {operand(plain(d.x, Tag::nchw, d.type), made.src_desc(), false),
           operand(plain(d.w, Tag::oihw, Type::f32), made.weights_desc(), false),
           operand(plain(d.y, Tag::nchw, d.type), made.dst_desc(), true)},
          memory(made.bias_desc(), engine, DNNL_MEMORY_NONE)};
}

Step ConvEngine::State::make_grad_input(const ConvSize& size, DType type) {
  const Descriptions d(size, type);
  const GradInput::primitive_desc made(
      {dnnl::algorithm::convolution_direct, any(d.x, d.type), any(d.w, d.type), any(d.y, d.type), d.strides,
       d.padding, d.padding},
      engine, hint(size, type));
  return {GradInput(made),
          {operand(plain(d.x, Tag::nchw, d.type), made.diff_src_desc(), true),
           operand(plain(d.w, Tag::oihw, Type::f32), made.weights_desc(), false),
           operand(plain(d.y, Tag::nchw, d.type), made.diff_dst_desc(), false)},
          {}};
}

Step ConvEngine::State::make_grad_weight(const ConvSize& size, DType type) {
  const Descriptions d(size, type);
  const GradWeight::primitive_desc made(
      {dnnl::algorithm::convolution_direct, any(d.x, d.type), any(d.w, Type::f32), any(d.b, Type::f32),
       any(d.y, d.type), d.strides, d.padding, d.padding},
      engine, hint(size, type));
  return {GradWeight(made),
          {operand(plain(d.x, Tag::nchw, d.type), made.src_desc(), false),
           operand(plain(d.w, Tag::oihw, Type::f32), made.diff_weights_desc(), true),
           operand(plain(d.y, Tag::nchw, d.type), made.diff_dst_desc(), false)},
          memory(made.diff_bias_desc(), engine, DNNL_MEMORY_NONE)};
}

void* ConvEngine::State::scratch_of(Slot slot, std::size_t bytes) {
  memory& block = scratch[slot];
  if (!block.get(true) || block.get_desc().get_size() < bytes)
    block = memory({{static_cast<memory::dim>(bytes)}, memory::data_type::u8, Tag::a}, engine);
  return block.get_data_handle();
}

void ConvEngine::State::attach(Step& step, Slot slot, const void* data) {
  Operand& operand = step.operands[slot];
  void* address = const_cast<void*>(data);  // inputs are only read
  operand.outer.set_data_handle(address);
  operand.inner.set_data_handle(
      operand.conversion ? scratch_of(slot, operand.inner.get_desc().get_size()) : address);
}

void ConvEngine::State::convert(Step& step, Slot slot, bool inwards) {
  Operand& operand = step.operands[slot];
  if (!operand.conversion) return;
  if (inwards)
    operand.conversion->execute(stream, operand.outer, operand.inner);
  else
    operand.conversion->execute(stream, operand.inner, operand.outer);
}

ConvEngine::ConvEngine() : state_(std::make_unique<State>()) {}
ConvEngine::~ConvEngine() = default;

void ConvEngine::forward(const ConvSize& size, DType type, const void* x, const float* w, const float* b,
                         void* y) {
  guarded([&] {
    State& s = *state_;
    std::optional<Step>& step = s.plan(size, type).forward;
    if (!step) step = s.make_forward(size, type);
    s.attach(*step, kX, x);
    s.attach(*step, kW, w);
    s.attach(*step, kY, y);
    if (b == nullptr) s.zeros.resize(static_cast<std::size_t>(size.out));
    step->bias.set_data_handle(b == nullptr ? s.zeros.data() : const_cast<float*>(b));
    s.convert(*step, kX, true);
    s.convert(*step, kW, true);
    step->primitive.execute(s.stream, {{DNNL_ARG_SRC, step->operands[kX].inner},
                                       {DNNL_ARG_WEIGHTS, step->operands[kW].inner},
                                       {DNNL_ARG_BIAS, step->bias},
                                       {DNNL_ARG_DST, step->operands[kY].inner}});
    s.convert(*step, kY, false);
    s.stream.wait();
  });
}

void ConvEngine::grad_input(const ConvSize& size, DType type, const void* dy, const float* w, void* dx) {
  guarded([&] {
    State& s = *state_;
    std::optional<Step>& step = s.plan(size, type).grad_input;
    if (!step) step = s.make_grad_input(size, type);
    s.attach(*step, kX, dx);
    s.attach(*step, kW, w);
    s.attach(*step, kY, dy);
    s.convert(*step, kW, true);
    s.convert(*step, kY, true);
    step->primitive.execute(s.stream, {{DNNL_ARG_DIFF_SRC, step->operands[kX].inner},
                                       {DNNL_ARG_WEIGHTS, step->operands[kW].inner},
                                       {DNNL_ARG_DIFF_DST, step->operands[kY].inner}});
    s.convert(*step, kX, false);
    s.stream.wait();
  });
}

void ConvEngine::grad_weight(const ConvSize& size, DType type, const void* dy, const void* x, float* dw,
                             float* db) {
  guarded([&] {
    State& s = *state_;
    std::optional<Step>& step = s.plan(size, type).grad_weight;
    if (!step) step = s.make_grad_weight(size, type);
    s.attach(*step, kX, x);
    s.attach(*step, kW, dw);
    s.attach(*step, kY, dy);
    step->bias.set_data_handle(db);
    s.convert(*step, kX, true);
    s.convert(*step, kY, true);
    step->primitive.execute(s.stream, {{DNNL_ARG_SRC, step->operands[kX].inner},
                                       {DNNL_ARG_DIFF_WEIGHTS, step->operands[kW].inner},
                                       {DNNL_ARG_DIFF_BIAS, step->bias},
                                       {DNNL_ARG_DIFF_DST, step->operands[kY].inner}});
    s.convert(*step, kW, false);
    s.stream.wait();
  });
}

}  // namespace covey::cpu
