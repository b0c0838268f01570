#include "core/base/wire.h"

namespace covey {

Result<void> ByteReader::finish(std::string_view what) const {
  if (failed_)
    return unexpected(ErrorCode::kCorrupted, std::string(what) + " is cut short, or holds a value that is out of range");
  if (!rest_.empty())
    return unexpected(ErrorCode::kCorrupted,
                      std::string(what) + " has " + std::to_string(rest_.size()) + " bytes too many");
  return {};
}

}  // namespace covey
