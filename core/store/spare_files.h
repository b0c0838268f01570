// Files of values that were dropped, for the next ones of the same size: writing over a file costs half of
// making and removing it (64 updates of 40 MB through the coordinator: 2.77 instead of 2.88 CPU-seconds a GB).
// Never more of them than values that are being received, so the disk holds what it held a moment ago, and
// none once nothing is received. What they held may be read by nobody: who takes one knows what it wrote.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"

namespace covey {

class SpareFiles {
 public:
  static constexpr std::size_t kMost = 16;

  explicit SpareFiles(std::string folder) : folder_(std::move(folder)) {}
  ~SpareFiles() { clear(); }

  // One of `bytes`, under this name now; or nothing.
  std::optional<FileDescriptor> take(std::uint64_t bytes, const std::string& path);
  // False: it stays where it is. `in_use`: values that are being received.
  bool keep(std::uint64_t bytes, const std::string& path, FileDescriptor& file, std::size_t in_use);
  bool clear();  // false: there were none

 private:
  struct Spare {
    std::uint64_t bytes = 0;
    std::string path;
    FileDescriptor file;
  };
  std::string folder_;
  std::mutex mutex_;
  std::vector<Spare> spares_;
  std::uint64_t named_ = 0;
};

}  // namespace covey
