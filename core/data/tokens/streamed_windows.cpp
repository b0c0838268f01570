#include "core/data/tokens/streamed_windows.h"

#include <algorithm>

#include "core/base/check.h"

namespace covey {

StreamedWindows::StreamedWindows(TokenStream stream, std::uint32_t context, std::uint32_t count_max)
    : stream_(std::move(stream)),
      context_(context),
      inputs_(std::size_t{count_max} * context),
      targets_(std::size_t{count_max} * context) {}

Result<void> StreamedWindows::read(std::uint32_t count) {
  const auto length = static_cast<std::size_t>(context_);
  COVEY_CHECK(count * length <= inputs_.size());
  for (std::uint32_t i = 0; i < count; ++i)
    COVEY_TRY_VOID(stream_.next(std::span(inputs_).subspan(i * length, length), std::span(targets_).subspan(i * length, length)));
  count_ = count;
  return {};
}

void StreamedWindows::fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const {
  COVEY_CHECK(batch.inputs.shape == Shape({std::ssize(indices), context_}));
  COVEY_CHECK(batch.targets.shape == batch.inputs.shape);
  std::int32_t* inputs = batch.inputs.i32();
  std::int32_t* targets = batch.targets.i32();
  for (const std::uint32_t index : indices) {
    COVEY_CHECK(index < count_);
    std::copy_n(inputs_.begin() + index * context_, context_, inputs);
    std::copy_n(targets_.begin() + index * context_, context_, targets);
    inputs += context_;
    targets += context_;
  }
}

}  // namespace covey
