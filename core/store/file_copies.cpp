#include "core/store/file_copies.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "core/base/file.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = 1 << 20;

// Reads `from` to its end; `take` gets each piece with its place.
template <class Take>
Result<CopiedFile> read_through(const std::string& from, Take take) {
  COVEY_TRY(const FileDescriptor file, open_file(from, OpenMode::kRead));
  CopiedFile read;
  Sha256 hash;
  Bytes piece(kPieceBytes);
  for (;;) {
    COVEY_TRY(const std::size_t got, read_at(file, read.size, piece, from));
    const ByteSpan bytes = ByteSpan(piece).first(got);
    hash.update(bytes);
    COVEY_TRY_VOID(take(read.size, bytes));
    read.size += got;
    if (got < piece.size()) break;
  }
  read.hash = hash.finish();
  return read;
}

Result<CopiedFile> copied(const std::string& from, const std::string& to) {
  COVEY_TRY(const FileDescriptor out, open_file(to, OpenMode::kCreateNew));
  COVEY_TRY(const CopiedFile read, read_through(from, [&](std::uint64_t at, ByteSpan bytes) {
              return write_at(out, at, bytes, to);
            }));
  COVEY_TRY_VOID(sync_file(out, to));
  return read;
}

// False where the disk is another one, or cannot.
Result<bool> linked(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return true;
  if (errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK) return false;
  return unexpected(system_error_of(errno, errno == ENOENT ? from : to));
}

}  // namespace

Result<CopiedFile> hash_of_file(const std::string& path) {
  return read_through(path, [](std::uint64_t, ByteSpan) { return Result<void>(); });
}

Result<CopiedFile> copy_file(const std::string& from, const std::string& to, CopyMode mode) {
  if (mode == CopyMode::kCopy) return copied(from, to);
  COVEY_TRY(const bool done, linked(from, to));
  if (!done) return copied(from, to);
  COVEY_TRY(const FileDescriptor file, open_file(to, OpenMode::kRead));
  COVEY_TRY_VOID(sync_file(file, to));
  return hash_of_file(to);
}

Result<void> copy_blobs(const std::string& from, const std::string& to, const std::set<Digest>& ids) {
  for (const Digest& id : ids) {
    const std::string name = hex(id.span());
    const std::string folder = "/blobs/" + name.substr(0, 2);
    COVEY_TRY_VOID(make_folders(to + folder));
    for (const char* extension : {"", ".chunks"}) {
      const std::string file = folder + "/" + name + extension;
      COVEY_TRY(const bool done, [&]() -> Result<bool> {
        auto link = linked(from + file, to + file);
        if (link || link.error().code != ErrorCode::kNotFound) return link;
        if (*extension != '\0') return true;  // a list of chunks is made again from the value
        return unexpected(ErrorCode::kCorrupted, from + file + ": a row names this value, but it is not here");
      }());
      if (!done) COVEY_TRY_VOID(copied(from + file, to + file));
    }
  }
  return {};
}

Result<std::vector<std::string>> files_below(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::file_status status = entry->symlink_status(error);
    if (error || fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status))
      return unexpected(ErrorCode::kInvalidData, entry->path().string() + " is neither a file nor a folder");
    files.push_back(entry->path().lexically_relative(folder).string());
  }
  if (error) return unexpected(system_error_of(error.value(), folder));
  std::sort(files.begin(), files.end());
  return files;
}

Result<void> sync_folders_below(const std::string& folder) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    if (entry->is_directory(error)) COVEY_TRY_VOID(sync_folder(entry->path().string()));
  if (error) return unexpected(system_error_of(error.value(), folder));
  return sync_folder(folder);
}

Result<void> remove_folder(const std::string& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) return unexpected(system_error_of(error.value(), folder));
  return {};
}

}  // namespace covey
