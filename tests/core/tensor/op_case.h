// What the operation tests share: arrays with guarded ends, and comparison of implementations.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/ops.h"

namespace covey::test {

constexpr std::size_t kGuards = 32;  // elements after the end that nobody may write
constexpr float kGuardValue = -12345.0F;
constexpr std::int32_t kGuardInt = -12345;

struct Array {  // owns what a Tensor views
  Shape shape;
  std::vector<float> floats;
  std::vector<std::int32_t> ints;  // used if not empty

  std::size_t size() const { return static_cast<std::size_t>(shape.elements()); }
  bool is_int() const { return !ints.empty(); }
  Tensor view() {
    return is_int() ? tensor_of(std::span(ints).first(size()), shape)
                    : tensor_of(std::span(floats).first(size()), shape);
  }
  bool guards_hold() const {
    const auto offset = static_cast<std::ptrdiff_t>(size());
    if (is_int())
      return std::all_of(ints.begin() + offset, ints.end(), [](auto v) { return v == kGuardInt; });
    return std::all_of(floats.begin() + offset, floats.end(),
                       [](float v) { return v == kGuardValue; });
  }
};
using Arrays = std::vector<Array>;
using Tensors = std::vector<Tensor>;
using Run = std::function<void(Ops&, const Tensors&)>;

inline Array constant(Shape shape, float value) {
  Array array{shape, {}, {}};
  array.floats.assign(array.size(), value);
  array.floats.insert(array.floats.end(), kGuards, kGuardValue);
  return array;
}
inline Array zeros(Shape shape) { return constant(shape, 0.0F); }

inline Array normal(Random& random, Shape shape, double deviation = 1.0) {
  Array array = zeros(shape);
  for (std::size_t i = 0; i < array.size(); ++i)
    array.floats[i] = static_cast<float>(deviation * random.normal());
  return array;
}

// Uniform integers in [low, end).
inline Array integers(Random& random, Shape shape, std::int32_t low, std::int32_t end) {
  Array array{shape, {}, {}};
  const auto range = static_cast<std::uint64_t>(end - low);
  for (std::size_t i = 0; i < array.size(); ++i)
    array.ints.push_back(low + static_cast<std::int32_t>(random.below(range)));
  array.ints.insert(array.ints.end(), kGuards, kGuardInt);
  return array;
}

inline Tensors views(Arrays& arrays) {
  Tensors out;
  for (Array& array : arrays) out.push_back(array.view());
  return out;
}

inline double largest_magnitude(const Array& array) {
  double largest = 0;
  for (std::size_t i = 0; i < array.size(); ++i)
    largest = std::max(largest, std::abs(double{array.floats[i]}));
  return largest;
}

// Largest difference, as a part of the largest magnitude expected, but at least of 0.1: what all but
// cancels, from operands of size 1, keeps their rounding. NaN where either has one.
inline double relative_difference(const Array& got, const Array& expected) {
  double difference = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(double{got.floats[i]} - expected.floats[i]);
    if (!(d <= difference)) difference = d;
  }
  return difference / std::max(largest_magnitude(expected), 0.1);
}

// Runs on copies of the same arrays in `ref` and in every set of cpu kernels that this machine
// has; all arrays, inputs included, must agree afterwards.
inline void check_against_ref(const std::string& what, const Arrays& arrays, const Run& run,
                              double tolerance = 1e-5) {
  const std::unique_ptr<Ops> ref = make_ref_ops();
  Arrays expected = arrays;
  run(*ref, views(expected));
  const cpu::UsableKernels usable = cpu::usable_kernels();
  for (int set = 0; set < usable.count; ++set) {
    CAPTURE(what);
    const std::string kernels = usable.sets[set]->name;
    CAPTURE(kernels);
    CpuOps ops(*usable.sets[set]);
    Arrays got = arrays;
    run(ops, views(got));
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      CAPTURE(i);
      CHECK(got[i].guards_hold());
      if (got[i].is_int())
        CHECK(got[i].ints == expected[i].ints);
      else
        CHECK(relative_difference(got[i], expected[i]) <= tolerance);
    }
  }
}

}  // namespace covey::test
