#include "core/data/augment.h"

#include <algorithm>
#include <set>

#include "tests/core/data/data_files.h"

namespace covey {
namespace {

// Images of [2, 4, 5]; pixel p of image i is 100 i + p + 1.
class CountedImages final : public Dataset {
 public:
  std::uint32_t size() const override { return 50; }
  Shape input_shape() const override { return {2, 4, 5}; }
  DType input_dtype() const override { return DType::kF32; }
  Shape target_shape() const override { return {}; }
  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    float* pixel = batch.inputs.f32();
    std::int32_t* target = batch.targets.i32();
    for (const std::uint32_t index : indices) {
      for (std::uint32_t p = 0; p < 40; ++p) *pixel++ = static_cast<float>(100 * index + p + 1);
      *target++ = static_cast<std::int32_t>(index);
    }
  }
  std::uint32_t label(std::uint32_t index) const override { return index; }
  std::uint32_t group(std::uint32_t) const override { return 0; }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  std::vector<std::string> groups_{"all"};
};

using Image = std::vector<float>;

// Batches that are changed as they are filled, as a client's training does it.
struct Augmented {
  AugmentSpec spec;
  Random random;
  std::uint64_t epoch = 0;
};

std::vector<Image> images(const Augmented& data, const std::vector<std::uint32_t>& indices) {
  const CountedImages plain;
  REQUIRE(check_augment(data.spec, plain));
  BatchBuffer buffer(plain, static_cast<std::uint32_t>(indices.size()));
  buffer.on_fill([&](std::span<const std::uint32_t> which, const Minibatch& batch) {
    augment_images(data.spec, data.random.split("augment", data.epoch), which, batch.inputs);
  });
  const Minibatch batch = buffer.fill(indices);
  std::vector<Image> out;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    out.emplace_back(batch.inputs.f32() + i * 40, batch.inputs.f32() + (i + 1) * 40);
    CHECK(batch.targets.i32()[i] == static_cast<std::int32_t>(indices[i]));
  }
  return out;
}

Augmented made(const AugmentSpec& spec, std::uint64_t seed) { return {spec, Random(seed)}; }

// What mirroring and then moving by (down, right) makes of image `index`.
Image expected(std::uint32_t index, bool mirror, int down, int right) {
  Image image(40);
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < 4; ++y)
      for (int x = 0; x < 5; ++x) {
        const int from_y = y - down, moved = x - right;
        if (from_y < 0 || from_y >= 4 || moved < 0 || moved >= 5) continue;
        const int from_x = mirror ? 4 - moved : moved;
        image[static_cast<std::size_t>(c * 20 + y * 5 + x)] =
            static_cast<float>(100 * static_cast<int>(index) + c * 20 + from_y * 5 + from_x + 1);
      }
  return image;
}

}  // namespace

TEST_CASE("augment: each image is mirrored or moved, all ways come up, and nothing else happens") {
  Augmented data = made({0.5, 2}, 9);
  std::set<int> ways;
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    data.epoch = epoch;
    for (std::uint32_t index = 0; index < 50; ++index) {
      const Image image = images(data, {index})[0];
      int found = -1;
      for (int way = 0; way < 50; ++way)
        if (image == expected(index, way % 2 == 1, way / 2 % 5 - 2, way / 10 - 2)) found = way;
      CHECK(found >= 0);
      ways.insert(found);
    }
  }
  CHECK(ways.size() == 50);
}

TEST_CASE("augment: the same for seed, epoch and example, whatever the batch") {
  Augmented data = made({0.5, 1}, 9);
  const Augmented same = made({0.5, 1}, 9), other = made({0.5, 1}, 10);
  std::vector<std::uint32_t> all(50);
  for (std::uint32_t i = 0; i < 50; ++i) all[i] = i;
  const auto together = images(data, all);
  std::vector<std::uint32_t> backwards(all.rbegin(), all.rend());
  auto reversed = images(same, backwards);
  std::reverse(reversed.begin(), reversed.end());
  CHECK(together == reversed);
  CHECK(together != images(other, all));
  data.epoch = 1;
  CHECK(together != images(data, all));
  data.epoch = 0;
  CHECK(together == images(data, all));
  const auto plain = made({0, 0}, 9);
  CHECK(images(plain, {7})[0] == expected(7, false, 0, 0));
  const auto mirrored = made({1, 0}, 9);
  CHECK(images(mirrored, {7})[0] == expected(7, true, 0, 0));
}

TEST_CASE("augment: settings that make no sense are refused") {
  const auto refuse = [](const AugmentSpec& spec) {
    const auto data = check_augment(spec, CountedImages());
    REQUIRE(!data);
    CHECK(data.error().code == ErrorCode::kInvalidArgument);
    return data.error().message;
  };
  CHECK(mentions(refuse({1.5, 0}), "1.5"));
  CHECK(mentions(refuse({-0.1, 0}), "chance"));
  CHECK(mentions(refuse({0, 4}), "4 x 5"));
}

}  // namespace covey
