// What the operation tests share: arrays with guarded ends, and comparison of implementations.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/half.h"
#include "core/tensor/ops.h"

namespace covey::test {

constexpr std::size_t kGuards = 32;  // elements after the end that nobody may write
constexpr float kGuardValue = -12345.0F;
constexpr std::int32_t kGuardInt = -12345;

struct Array {  // owns what a Tensor views
  Shape shape;
  std::vector<float> floats;       // the values, of halves too
  std::vector<std::int32_t> ints;  // used if not empty
  DType dtype = DType::kF32;
  std::vector<std::uint16_t> halves;  // what a view of bf16 or f16 is of

  std::size_t size() const { return static_cast<std::size_t>(shape.elements()); }
  bool is_int() const { return !ints.empty(); }
  Tensor view() {
    if (is_int()) return tensor_of(std::span(ints).first(size()), shape);
    if (dtype == DType::kF32) return tensor_of(std::span(floats).first(size()), shape);
    halves.clear();
    for (const float value : floats)
      halves.push_back(dtype == DType::kBf16 ? from_float<Bf16>(value).bits : from_float<F16>(value).bits);
    return {halves.data(), shape, dtype, Device::kCpu};
  }
  void read_back() {  // after a view of halves was written
    for (std::size_t i = 0; i < halves.size(); ++i)
      floats[i] = dtype == DType::kBf16 ? to_float(Bf16{halves[i]}) : to_float(F16{halves[i]});
  }
  float guard() const {  // as stored
    if (dtype == DType::kBf16) return to_float(from_float<Bf16>(kGuardValue));
    return dtype == DType::kF16 ? to_float(from_float<F16>(kGuardValue)) : kGuardValue;
  }
  bool guards_hold() const {
    const auto offset = static_cast<std::ptrdiff_t>(size());
    if (is_int())
      return std::all_of(ints.begin() + offset, ints.end(), [](auto v) { return v == kGuardInt; });
    return std::all_of(floats.begin() + offset, floats.end(), [this](float v) { return v == guard(); });
  }
};
using Arrays = std::vector<Array>;
using Tensors = std::vector<Tensor>;
using Run = std::function<void(Ops&, const Tensors&)>;

inline Array constant(Shape shape, float value) {
  Array array{.shape = shape, .floats = {}, .ints = {}, .halves = {}};
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
  Array array{.shape = shape, .floats = {}, .ints = {}, .halves = {}};
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

// The same values as activations of that type.
inline Array as(DType dtype, Array array) {
  array.dtype = dtype;
  std::fill(array.floats.begin() + static_cast<std::ptrdiff_t>(array.size()), array.floats.end(), kGuardValue);
  array.view();
  array.read_back();
  return array;
}
inline void read_back(Arrays& arrays) {
  for (Array& array : arrays) array.read_back();
}

// How far from the reference results in that type may be: their rounding, and that of steps between.
inline double tolerance_of(DType dtype) {
  return dtype == DType::kBf16 ? 1e-2 : dtype == DType::kF16 ? 2e-3 : 1e-5;
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

// Runs on copies of the same arrays in `ref` and in every set of cpu kernels that this machine has, with
// and without tiles, and on three threads, where the bits must be those of one; all arrays, inputs
// included, must agree afterwards.
inline void check_against_ref(const std::string& what, const Arrays& arrays, const Run& run,
                              double tolerance = 1e-5) {
  const std::unique_ptr<Ops> ref = make_ref_ops();
  Arrays expected = arrays;
  run(*ref, views(expected));
  read_back(expected);
  const auto check = [&](Ops& ops) {
    Arrays got = arrays;
    run(ops, views(got));
    read_back(got);
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      CAPTURE(i);
      CHECK(got[i].guards_hold());
      if (got[i].is_int())
        CHECK(got[i].ints == expected[i].ints);
      else
        CHECK(relative_difference(got[i], expected[i]) <= tolerance);
    }
    return got;
  };
  const cpu::UsableKernels usable = cpu::usable_kernels();
  CAPTURE(what);
  for (int set = 0; set < usable.count; ++set) {
    const std::string kernels = usable.sets[set]->name;
    CAPTURE(kernels);
    CpuOps ops(*usable.sets[set], Tiles::kNever);
    check(ops);
  }
  CpuOps alone(*usable.sets[0]);
  const Arrays by_one = check(alone);
  Team team(3);
  CpuOps together(*usable.sets[0], Tiles::kWhereUsable, team);
  const Arrays by_three = check(together);
  for (std::size_t i = 0; i < arrays.size(); ++i)
    CHECK(by_one[i].ints == by_three[i].ints);
  for (std::size_t i = 0; i < arrays.size(); ++i)
    if (!by_one[i].floats.empty()) CHECK(std::memcmp(by_one[i].floats.data(), by_three[i].floats.data(), 4 * by_one[i].floats.size()) == 0);
}

}  // namespace covey::test
