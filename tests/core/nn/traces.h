// Traces that Python libraries left in tests/vectors.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/spec/model_spec.h"
#include "core/tensor/minibatch.h"

namespace covey::testing {

using Arrays = std::map<std::string, std::vector<float>>;

// `path` below tests/vectors.
inline Arrays read_trace(const std::string& path) {
  std::ifstream file(COVEY_SOURCE_DIR "/tests/vectors/" + path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::size_t at = 0;
  const auto read = [&](void* to, std::size_t count) {
    REQUIRE(count <= bytes.size() - at);
    std::memcpy(to, bytes.data() + at, count);
    at += count;
  };
  const auto read_u32 = [&] {
    std::uint32_t value = 0;
    read(&value, sizeof value);
    return value;
  };
  Arrays arrays;
  for (std::uint32_t left = read_u32(); left > 0; --left) {
    std::string key(read_u32(), '\0');
    read(key.data(), key.size());
    std::vector<float> values(read_u32());
    read(values.data(), values.size() * sizeof(float));
    arrays[key] = std::move(values);
  }
  REQUIRE(at == bytes.size());
  return arrays;
}

inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

inline double largest_of(std::span<const float> values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

// One minibatch of a trace, owning its integers.
struct TracedBatch {
  std::vector<float> features;
  std::vector<std::int32_t> tokens, targets;
  Minibatch batch;
};

inline TracedBatch traced_batch(const Arrays& trace, const ModelSpec& spec, const std::string& index,
                         std::int64_t count) {
  TracedBatch b;
  for (const float t : trace.at("targets" + index)) b.targets.push_back(static_cast<std::int32_t>(t));
  const std::vector<float>& inputs = trace.at("inputs" + index);
  const Shape shape{count, static_cast<std::int64_t>(inputs.size()) / count};
  if (spec.family == ModelFamily::kTransformer) {
    for (const float t : inputs) b.tokens.push_back(static_cast<std::int32_t>(t));
    b.batch = {tensor_of(b.tokens, shape), tensor_of(b.targets, shape)};
  } else {
    b.features = inputs;
    b.batch = {tensor_of(b.features, shape), tensor_of(b.targets, {count})};
  }
  return b;
}

}  // namespace covey::testing
