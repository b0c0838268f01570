// One aligned allocation from which a model's tensors are cut, planned once per (model, batch, T).
#pragma once
#include <cstddef>
#include <vector>

#include "core/tensor/tensor.h"

namespace covey {

// Two passes over the same code: a measuring Arena counts bytes, a real one hands out memory.
class Arena {
 public:
  Arena() = default;                    // measures
  explicit Arena(std::size_t bytes);    // holds, zeroed, 64-byte aligned
  Arena(Arena&&) noexcept;
  Arena& operator=(Arena&&) noexcept;
  ~Arena();

  Tensor take(Shape shape, DType dtype = DType::kF32);  // data is null while measuring
  std::size_t used() const { return used_; }
  // Gives back what was taken since used() was `to`, so that tensors that are never needed at once may
  // share memory.
  void rewind(std::size_t to);
  std::size_t capacity() const { return capacity_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace covey
