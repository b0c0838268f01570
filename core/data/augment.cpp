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

AugmentedDataset::AugmentedDataset(std::unique_ptr<Dataset> base, const AugmentSpec& spec, std::uint64_t seed)
    : base_(std::move(base)), spec_(spec), random_(seed) {}

Result<std::unique_ptr<AugmentedDataset>> AugmentedDataset::make(std::unique_ptr<Dataset> base,
                                                                 const AugmentSpec& spec,
                                                                 std::uint64_t seed) {
  const Shape shape = base->input_shape();
  if (shape.rank() != 3 || base->input_dtype() != DType::kF32)
    return unexpected(
        ErrorCode::kInvalidArgument,
        "only images of channels, rows and columns can be mirrored and shifted, examples here have " +
            std::to_string(shape.rank()) + " dimensions: leave augmentation out");
  if (!(spec.flip >= 0 && spec.flip <= 1))
    return unexpected(ErrorCode::kInvalidArgument, "the chance of a mirror image is " +
                                                       std::to_string(spec.flip) + ", 0 to 1 is possible");
  const std::int64_t least = std::min(shape[1], shape[2]);
  if (spec.crop_padding >= least)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the padding is " + std::to_string(spec.crop_padding) + " pixels, images have " +
                          std::to_string(shape[1]) + " x " + std::to_string(shape[2]) + ": less is possible");
  return std::unique_ptr<AugmentedDataset>(new AugmentedDataset(std::move(base), spec, seed));
}

void AugmentedDataset::fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const {
  base_->fill(indices, batch);
  const Shape shape = base_->input_shape();
  const std::int64_t height = shape[1], width = shape[2], pixels = height * width;
  std::vector<float> original(static_cast<std::size_t>(shape.elements()));
  float* image = batch.inputs.f32();
  for (const std::uint32_t index : indices) {
    Random random = random_.split("augment", epoch_, index);
    const std::int64_t padding = spec_.crop_padding;
    Change change;
    change.mirror =
        random.uniform() < spec_.flip;  // drawn whatever the spec: settings do not move each other
    change.down =
        static_cast<std::int64_t>(random.below(2 * spec_.crop_padding + std::uint64_t{1})) - padding;
    change.right =
        static_cast<std::int64_t>(random.below(2 * spec_.crop_padding + std::uint64_t{1})) - padding;
    std::copy(image, image + original.size(), original.begin());
    for (std::int64_t c = 0; c < shape[0]; ++c)
      change_channel(original.data() + c * pixels, height, width, change, image + c * pixels);
    image += original.size();
  }
}

}  // namespace covey
