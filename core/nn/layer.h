// A layer: hand-written forward and backward over planned memory. A model is a static list of them.
#pragma once
#include <array>
#include <cstdint>

#include "core/tensor/arena.h"
#include "core/tensor/ops.h"

namespace covey {

// How much of the planned memory one call uses: any batch and length up to the planned ones.
struct Extent {
  std::int64_t batch = 0;
  std::int64_t length = 1;  // positions of a sequence; 1 for other inputs
  std::int64_t rows() const { return batch * length; }
};

// The first elements of `buffer` under `shape`.
Tensor cut(Tensor buffer, Shape shape);

// Memory that no layer needs beyond its own forward or backward, so that all of them share it, of the
// type of the activations but for kFloat. The two flow slots carry the gradient from layer to layer.
enum class Slot : std::uint8_t { kFlow0, kFlow1, kWork0, kWork1, kWork2, kWork3, kWork4, kWork5, kLora, kWide, kFloat };
inline constexpr std::size_t kSlots = 11;

class Workspace {
 public:
  explicit Workspace(DType activations = DType::kF32) : activations_(activations) {}
  void want(Slot slot, std::int64_t elements);  // while planning
  void take_from(Arena& arena);
  Tensor get(Slot slot, Shape shape) const;
  // The flow slot that does not hold `tensor`.
  Tensor other_flow(Tensor tensor, Shape shape) const;

 private:
  DType activations_;
  std::array<std::int64_t, kSlots> elements_{};
  std::array<Tensor, kSlots> buffers_{};
};

class ExampleBook;  // example_book.h

// What a layer is planned for.
struct Plan {
  Extent largest;
  DType activations;
  Arena& arena;
  Workspace& workspace;
  ExampleBook* book = nullptr;  // where each example's gradient will be clipped
  Tensor activation(Shape shape) const { return arena.take(shape, activations); }
};

// The coins of one training step's dropout; none outside training.
struct StepCoins {
  bool thrown = false;
  std::uint64_t seed = 0, step = 0;
  // `place` tells apart the uses within a step, below 2^20.
  Dropout of(float rate, std::uint64_t place) const { return {rate, seed, (step << 20U) | place}; }
};

struct Pass {  // one call of forward or backward
  Ops& ops;
  const Workspace& workspace;
  Extent extent;
  StepCoins coins{};
  ExampleBook* book = nullptr;  // backward enters gradients there instead of adding them up
  // Not null in the first pass of a step, when what layers set first (SetFirst) holds nothing yet: += the squares
  // of it, but for what is added to, when it is set. With a book that keeps, its add_clipped() sets it.
  double* set_squares = nullptr;
};

// A parameter and its gradient: views into the model's flat buffers. No gradient where it is frozen;
// neither where there is no such parameter.
struct Parameter {
  Tensor value;     // f32; bf16 or i8 where it is a frozen weight that is held so
  Tensor gradient;
  Tensor scales{};  // [N] f32, of a value [N,K] in i8
  bool exists() const { return value.shape.rank() > 0; }  // true while measuring too, when data is null
  bool trained() const { return gradient.shape.rank() > 0; }
  // Rows [first, first + count) of a matrix, elements of a vector.
  Parameter rows(std::int64_t first, std::int64_t count) const;
};

// A gradient that backward sets in the first pass of a step, so that nobody need fill it with zeros.
struct SetFirst {
  Tensor gradient;
  bool added_to = false;  // later in the same pass, so that its squares are not counted when it is set
};

class Layer {
 public:
  virtual ~Layer() = default;

  // Names the memory it needs for the largest extent. Called twice: with a measuring arena, then
  // with a real one.
  virtual void plan(const Plan& plan) = 0;
  // Returns y, which stays valid and unchanged until backward; so must x.
  virtual Tensor forward(const Pass& pass, Tensor x) = 0;
  // After forward. Adds to the gradients of its parameters and returns dx (empty if it was made
  // without one). May overwrite dy and the flow slots.
  virtual Tensor backward(const Pass& pass, Tensor dy) = 0;
  virtual bool trained() const = 0;  // whether any of its parameters is
  // Such a gradient of this layer; transformers' have several (TransformerBlock::set_first).
  virtual Tensor set_first() const { return {}; }
};

}  // namespace covey
