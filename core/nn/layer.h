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

// Memory that no layer needs beyond its own forward or backward, so that all of them share it.
// The two flow slots carry the gradient from layer to layer.
enum class Slot : std::uint8_t { kFlow0, kFlow1, kWork0, kWork1, kWork2, kWork3, kWork4, kWork5 };
inline constexpr std::size_t kSlots = 8;

class Workspace {
 public:
  void want(Slot slot, std::int64_t elements);  // while planning
  void take_from(Arena& arena);
  Tensor get(Slot slot, Shape shape) const;
  // The flow slot that does not hold `tensor`.
  Tensor other_flow(Tensor tensor, Shape shape) const;

 private:
  std::array<std::int64_t, kSlots> elements_{};
  std::array<Tensor, kSlots> buffers_{};
};

struct Pass {  // one call of forward or backward
  Ops& ops;
  const Workspace& workspace;
  Extent extent;
};

// A parameter and its gradient: views into the model's flat buffers. Both empty: there is none.
struct Parameter {
  Tensor value;
  Tensor gradient;
};

class Layer {
 public:
  virtual ~Layer() = default;

  // Names the memory it needs for the largest extent. Called twice: with a measuring arena, then
  // with a real one.
  virtual void plan(Extent largest, Arena& arena, Workspace& workspace) = 0;
  // Returns y, which stays valid and unchanged until backward; so must x.
  virtual Tensor forward(const Pass& pass, Tensor x) = 0;
  // After forward. Adds to the gradients of its parameters and returns dx (empty if it was made
  // without one). May overwrite dy and the flow slots.
  virtual Tensor backward(const Pass& pass, Tensor dy) = 0;
};

}  // namespace covey
