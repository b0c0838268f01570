#include "core/data/augment.h"

#include <algorithm>

#include "core/base/check.h"

namespace covey {
namespace {

// One channel [H, W] from `from`, mirrored, then moved by (down, right) with zeros behind.
struct Change {
  bool mirror = false;
  std::int64_t down = 0, right = 0;
};
void change_channel(const float* from, std::int64_t height, std::int64_t width, const Change& change,
                    float* to) {
  for (std::int64_t y = 0; y < height; ++y) {
    const std::int64_t source_y = y - change.down;
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t source_x = x - change.right;
      const bool inside = source_y >= 0 && source_y < height && source_x >= 0 && source_x < width;
      const std::int64_t column = change.mirror ? width - 1 - source_x : source_x;
      to[y * width + x] = inside ? from[source_y * width + column] : 0.0f;
    }
  }
}

}  // namespace

Result<void> check_augment(const AugmentSpec& spec, const Dataset& data) {
  const Shape shape = data.input_shape();
  if (shape.rank() != 3 || data.input_dtype() != DType::kF32)
    return unexpected(
        ErrorCode::kInvalidArgument,
        "only images of channels, rows and columns can be mirrored and shifted, examples here have " +
            std::to_string(shape.rank()) + " dimensions: leave augmentation out");
  if (!(spec.flip >= 0 && spec.flip <= 1))
    return unexpected(ErrorCode::kInvalidArgument, "the chance of a mirror image is " +
                                                       std::to_string(spec.flip) + ", 0 to 1 is possible");
  const std::int64_t least = std::min(shape[1], shape[2]);
  if (spec.crop_padding < least) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    "the padding is " + std::to_string(spec.crop_padding) + " pixels, images have " +
                        std::to_string(shape[1]) + " x " + std::to_string(shape[2]) + ": less is possible");
}

void augment_images(const AugmentSpec& spec, const Random& random, std::span<const std::uint32_t> indices, Tensor images) {
  COVEY_CHECK(images.shape.rank() == 4 && images.dim(0) == std::ssize(indices));
  const std::int64_t channels = images.dim(1), height = images.dim(2), width = images.dim(3), pixels = height * width;
  const auto image_size = static_cast<std::size_t>(channels * pixels);
  std::vector<float> original(image_size);
  float* image = images.f32();
  for (const std::uint32_t index : indices) {
    Random own = random.split("image", index);
    const std::int64_t padding = spec.crop_padding;
    Change change;
    change.mirror = own.uniform() < spec.flip;  // drawn whatever the spec: settings do not move each other
    change.down = static_cast<std::int64_t>(own.below(2 * spec.crop_padding + std::uint64_t{1})) - padding;
    change.right = static_cast<std::int64_t>(own.below(2 * spec.crop_padding + std::uint64_t{1})) - padding;
    std::copy(image, image + image_size, original.begin());
    for (std::int64_t c = 0; c < channels; ++c)
      change_channel(original.data() + c * pixels, height, width, change, image + c * pixels);
    image += image_size;
  }
}

}  // namespace covey
