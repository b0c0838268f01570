#include "core/base/wire.h"

#include <cstring>

namespace covey {

// Not inline, and not insert(): g++ 12 sees overflows in both that are not there.
ByteWriter& ByteWriter::raw(ByteSpan v) {
  const std::size_t end = bytes_.size();
  bytes_.resize(end + v.size());
  if (!v.empty()) std::memcpy(bytes_.data() + end, v.data(), v.size());
  return *this;
}

Result<void> ByteReader::finish(std::string_view what) const {
  if (failed_)
    return unexpected(ErrorCode::kCorrupted, std::string(what) + " is cut short, or holds a value that is out of range");
  if (!rest_.empty())
    return unexpected(ErrorCode::kCorrupted,
                      std::string(what) + " has " + std::to_string(rest_.size()) + " bytes too many");
  return {};
}

}  // namespace covey
