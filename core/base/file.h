// Files by descriptor: what key files and blobs are built on. Positioned reads and writes only, so
// that a descriptor has no state to share.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace covey {

// Owns an open file and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor();
  int number() const { return number_; }

 private:
  int number_ = -1;
};

// `number` is an errno. "`what`: No space left on device: free some space ..."
// kDiskFull for a full disk, quota or file size limit; kResourceExhausted, kNotFound, kAlreadyExists,
// kPermissionDenied, kInvalidData (a folder where a file is needed, or the reverse), or else kUnavailable.
Error system_error_of(int number, const std::string& what);

enum class OpenMode {
  kRead,           // must exist, and be a regular file: a pipe would block, a device might never end
  kReadWrite,      // created when missing
  kCreateNew,      // kAlreadyExists when there
  kReplace,        // created when missing, emptied when there
};
// New files get mode 0600. Never inherited by a child process. kInvalidData: see kRead.
Result<FileDescriptor> open_file(const std::string& path, OpenMode mode);

Result<std::uint64_t> file_size(const FileDescriptor& file, const std::string& path);

// Reads until `out` is full or the file ends; how many bytes it got.
Result<std::size_t> read_at(const FileDescriptor& file, std::uint64_t offset,
                            std::span<std::uint8_t> out, const std::string& path);
// All of it or an error; what was written before an error stays in the file.
Result<void> write_at(const FileDescriptor& file, std::uint64_t offset, ByteSpan bytes,
                      const std::string& path);

// Until the file's bytes, or a folder's names, would survive a power cut.
Result<void> sync_file(const FileDescriptor& file, const std::string& path);
Result<void> sync_folder(const std::string& path);

// Makes the folder and its parents (mode 0700) and syncs the parent of each that it made.
Result<void> make_folders(const std::string& path);

Result<void> rename_file(const std::string& from, const std::string& to);
// Of a missing file: success.
Result<void> remove_file(const std::string& path);
bool file_exists(const std::string& path);
// The same for what something is concluded from. Errors: kPermissionDenied and others where nobody can tell.
Result<bool> is_there(const std::string& path);

// Holds `path`/covey.lock while it lives. kUnavailable when another process holds it; the lock
// ends with its process, so a stale file does no harm.
class FolderLock {
 public:
  // Errors: kUnavailable naming the process that has it.
  static Result<FolderLock> take(const std::string& path);
  // The program that took it last, as "covey-coordinator", if its process still runs.
  static std::optional<std::string> holder(const std::string& path);

 private:
  explicit FolderLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace covey
