#include "core/store/spare_files.h"

#include <algorithm>
#include <utility>

namespace covey {

std::optional<FileDescriptor> SpareFiles::take(std::uint64_t bytes, const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(spares_.begin(), spares_.end(), [&](const Spare& spare) { return spare.bytes == bytes; });
  if (found == spares_.end() || !rename_file(found->path, path)) return std::nullopt;
  FileDescriptor file = std::move(found->file);
  spares_.erase(found);
  return file;
}

bool SpareFiles::keep(std::uint64_t bytes, const std::string& path, FileDescriptor& file, std::size_t in_use) {
  const std::lock_guard lock(mutex_);
  if (spares_.size() >= std::min(kMost, in_use)) return false;
  Spare spare{bytes, folder_ + "/spare" + std::to_string(named_++), {}};
  if (!rename_file(path, spare.path)) return false;
  spare.file = std::move(file);
  spares_.push_back(std::move(spare));
  return true;
}

bool SpareFiles::clear() {
  const std::lock_guard lock(mutex_);
  for (const Spare& spare : spares_) (void)remove_file(spare.path);  // what stays is swept at the next open
  return !std::exchange(spares_, {}).empty();
}

}  // namespace covey
