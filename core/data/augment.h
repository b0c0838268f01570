// Images changed a little each time they are seen: mirrored, shifted. The same change for the same seed,
// epoch and example, whatever the batch or the thread.
#pragma once
#include <cstdint>
#include <memory>

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

// Another Dataset's images, f32 [C, H, W]. Everything else is the other's.
class AugmentedDataset final : public Dataset {
 public:
  // Errors: check_augment's.
  static Result<std::unique_ptr<AugmentedDataset>> make(std::unique_ptr<Dataset> base,
                                                        const AugmentSpec& spec, std::uint64_t seed);
  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }

  std::uint32_t size() const override { return base_->size(); }
  Shape input_shape() const override { return base_->input_shape(); }
  DType input_dtype() const override { return base_->input_dtype(); }
  Shape target_shape() const override { return base_->target_shape(); }
  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override;
  std::uint32_t label(std::uint32_t index) const override { return base_->label(index); }
  std::uint32_t group(std::uint32_t index) const override { return base_->group(index); }
  const std::vector<std::string>& groups() const override { return base_->groups(); }

 private:
  AugmentedDataset(std::unique_ptr<Dataset> base, const AugmentSpec& spec, std::uint64_t seed);
  std::unique_ptr<Dataset> base_;
  AugmentSpec spec_;
  Random random_;
  std::uint64_t epoch_ = 0;
};

}  // namespace covey
