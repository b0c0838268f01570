// A Tensor is a view: pointer, shape, dtype, device. It owns nothing; an Arena does.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "core/base/check.h"
#include "core/tensor/dtype.h"
#include "core/tensor/storage_types.h"

namespace covey {

class Shape {  // up to four dimensions, row-major
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : rank_(dims.size()) {
    COVEY_CHECK(rank_ <= dims_.size());
    std::copy(dims.begin(), dims.end(), dims_.begin());
  }
  std::size_t rank() const { return rank_; }
  std::int64_t operator[](std::size_t i) const { return dims_[i]; }
  std::int64_t elements() const {
    std::int64_t n = 1;
    for (std::size_t i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, 4> dims_{};
  std::size_t rank_ = 0;
};

struct Tensor {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::kF32;
  Device device = Device::kCpu;

  bool empty() const { return data == nullptr; }
  std::int64_t elements() const { return shape.elements(); }
  std::int64_t dim(std::size_t i) const { return shape[i]; }
  float* f32() const {
    COVEY_CHECK(dtype == DType::kF32);
    return static_cast<float*>(data);
  }
  std::int32_t* i32() const {
    COVEY_CHECK(dtype == DType::kI32);
    return static_cast<std::int32_t*>(data);
  }
  template <class T>
  T* as() const {  // T is what dtype stores: float, Bf16, F16, std::int32_t, std::int8_t, std::uint8_t
    COVEY_CHECK(sizeof(T) == size_of(dtype));
    return static_cast<T*>(data);
  }
  std::span<float> floats() const { return {f32(), static_cast<std::size_t>(elements())}; }
  std::span<std::int32_t> ints() const { return {i32(), static_cast<std::size_t>(elements())}; }
  // The same elements under another shape of the same size.
  Tensor reshaped(Shape to) const {
    COVEY_CHECK(to.elements() == elements());
    return {data, to, dtype, device};
  }
};

inline Tensor tensor_of(std::span<float> values, Shape shape) {
  COVEY_CHECK(static_cast<std::size_t>(shape.elements()) == values.size());
  return {values.data(), shape, DType::kF32, Device::kCpu};
}
inline Tensor tensor_of(std::span<std::int32_t> values, Shape shape) {
  COVEY_CHECK(static_cast<std::size_t>(shape.elements()) == values.size());
  return {values.data(), shape, DType::kI32, Device::kCpu};
}

}  // namespace covey
