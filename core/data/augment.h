// Images changed a little each time they are seen: mirrored, shifted. The same change for the same seed,
// epoch and example, whatever the batch or the thread.
#pragma once
#include <cstdint>
#include <span>

#include "core/data/dataset.h"

namespace covey {

struct AugmentSpec {
  double flip = 0;                 // chance of a left-right mirror image, 0 to 1
  std::uint32_t crop_padding = 0;  // pixels of zeros around, out of which the original size is cut
  bool operator==(const AugmentSpec&) const = default;
};

// Errors: kInvalidArgument (no images of f32 [C, H, W]; a chance out of range; padding that reaches the image's size).
Result<void> check_augment(const AugmentSpec& spec, const Dataset& data);
// Changes a batch's images [B, C, H, W] in place, example i by random.split("image", indices[i]).
void augment_images(const AugmentSpec& spec, const Random& random, std::span<const std::uint32_t> indices, Tensor images);

}  // namespace covey
