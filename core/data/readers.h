// The readers behind load_dataset, one for each DataFormat. Each checks that the model fits.
#pragma once
#include <memory>

#include "core/data/dataset.h"

namespace covey {

// What a data set holds in memory at most, whatever its files say.
inline constexpr std::uint64_t kDataBytesMax = std::uint64_t{16} << 30;

Result<std::unique_ptr<Dataset>> load_text(const LoadRequest& request);
Result<std::unique_ptr<Dataset>> load_idx(const LoadRequest& request);
Result<std::unique_ptr<Dataset>> load_csv(const LoadRequest& request);

}  // namespace covey
