#include "core/base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <limits>
#include <system_error>

namespace covey {
namespace {

Unexpected failed(const std::string& what) { return unexpected(system_error_of(errno, what)); }

Result<off_t> file_offset(std::uint64_t offset, std::size_t length, const std::string& path) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > kMax || length > kMax - offset)
    return unexpected(ErrorCode::kInvalidArgument,
                      path + ": offset " + std::to_string(offset) + " is beyond any file");
  return static_cast<off_t>(offset);
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Asked of what was opened, so that nothing can take its place in between.
Result<void> check_regular(const FileDescriptor& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.number(), &status) != 0) return failed(path);
  if (S_ISREG(status.st_mode)) return {};
  return unexpected(ErrorCode::kInvalidData,
                    path + (S_ISDIR(status.st_mode) ? ": is a folder, a file is needed there"
                                                    : ": is a pipe, a socket or a device, a regular file is needed there"));
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) ::close(number_);  // what must last was synced, so its errors were seen there
}

Error system_error_of(int number, const std::string& what) {
  std::string message = what + ": " + std::generic_category().message(number);
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return {ErrorCode::kDiskFull, message + ": free some space there, or move the folder"};
    case EFBIG:
      return {ErrorCode::kDiskFull, message + ": raise the file size limit (ulimit -f)"};
    case EMFILE:
    case ENFILE:
      return {ErrorCode::kResourceExhausted, message + ": raise the limit of open files (ulimit -n)"};
    case ENOENT:
      return {ErrorCode::kNotFound, std::move(message)};
    case EEXIST:
      return {ErrorCode::kAlreadyExists, std::move(message)};
    case EACCES:
    case EPERM:
    case EROFS:
      return {ErrorCode::kPermissionDenied, std::move(message)};
    case ELOOP:  // whoever tries again finds the same link
    case EISDIR:
    case ENOTDIR:
      return {ErrorCode::kInvalidData, std::move(message)};
    default:
      return {ErrorCode::kUnavailable, std::move(message)};
  }
}

Result<FileDescriptor> open_file(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::kRead: flags |= O_RDONLY | O_NONBLOCK; break;  // open() itself waits for a pipe's other end
    case OpenMode::kReadWrite: flags |= O_RDWR | O_CREAT; break;
    case OpenMode::kCreateNew: flags |= O_RDWR | O_CREAT | O_EXCL; break;
    case OpenMode::kReplace: flags |= O_RDWR | O_CREAT | O_TRUNC; break;
  }
  const int number = ::open(path.c_str(), flags, 0600);
  if (number < 0 && errno == ENXIO)
    return unexpected(ErrorCode::kInvalidData, path + ": is a socket or a device, a regular file is needed there");
  if (number < 0) return failed(path);
  FileDescriptor file(number);
  if (mode == OpenMode::kRead) COVEY_TRY_VOID(check_regular(file, path));
  return file;
}

Result<std::uint64_t> file_size(const FileDescriptor& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.number(), &status) != 0) return failed(path);
  return static_cast<std::uint64_t>(status.st_size);
}

Result<std::size_t> read_at(const FileDescriptor& file, std::uint64_t offset,
                            std::span<std::uint8_t> out, const std::string& path) {
  COVEY_TRY(const off_t start, file_offset(offset, out.size(), path));
  std::size_t got = 0;
  while (got < out.size()) {
    const ssize_t n = ::pread(file.number(), out.data() + got, out.size() - got,
                              start + static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

Result<void> write_at(const FileDescriptor& file, std::uint64_t offset, ByteSpan bytes,
                      const std::string& path) {
  COVEY_TRY(const off_t start, file_offset(offset, bytes.size(), path));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(file.number(), bytes.data() + done, bytes.size() - done,
                               start + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path);
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> sync_file(const FileDescriptor& file, const std::string& path) {
  if (::fsync(file.number()) != 0) return failed(path);
  return {};
}

Result<void> sync_folder(const std::string& path) {
  const FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() < 0) return failed(path);
  return sync_file(folder, path);
}

Result<void> make_folders(const std::string& path) {
  if (path.empty()) return unexpected(ErrorCode::kInvalidArgument, "a folder's path is empty");
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return unexpected(ErrorCode::kInvalidArgument, path + ": is there, but is not a folder");
  }
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::string parent = parent_of(trimmed);
  COVEY_TRY_VOID(make_folders(parent));
  if (::mkdir(trimmed.c_str(), 0700) != 0 && errno != EEXIST) return failed(path);
  return sync_folder(parent);
}

Result<void> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return failed(to);
  return {};
}

Result<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path);
  return {};
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<bool> is_there(const std::string& path) {
  if (file_exists(path)) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return failed(path);
}

namespace {

constexpr const char* kLockName = "/covey.lock";
constexpr std::size_t kProgramBytes = 40;

struct Holder {
  std::string program;
  pid_t process = 0;
};

// "PROCESS PROGRAM\n", as left_name() wrote it.
std::optional<Holder> read_holder(const std::string& path) {
  const auto file = open_file(path + kLockName, OpenMode::kRead);
  std::array<std::uint8_t, 64> bytes{};
  if (!file) return std::nullopt;
  const auto got = read_at(*file, 0, bytes, path);
  if (!got) return std::nullopt;
  const std::string_view text = text_of(ByteSpan(bytes).first(*got));
  const std::size_t space = text.find(' '), end = text.find('\n');
  if (space == text.npos || end == text.npos || end < space || end > space + 1 + kProgramBytes) return std::nullopt;
  Holder holder{std::string(text.substr(space + 1, end - space - 1)), 0};
  const auto parsed = std::from_chars(text.data(), text.data() + space, holder.process);
  const bool plain = std::all_of(holder.program.begin(), holder.program.end(), [](unsigned char c) { return std::isgraph(c) != 0; });
  if (parsed.ptr != text.data() + space || holder.process <= 0 || !plain) return std::nullopt;
  if (::kill(holder.process, 0) != 0 && errno == ESRCH) return std::nullopt;  // of who had it before
  return holder;
}

// For a better text alone: a disk that is full keeps nobody from the lock.
void leave_name(const FileDescriptor& file) {
  const std::string text = std::to_string(::getpid()) + " " + program_invocation_short_name + "\n";
  if (::ftruncate(file.number(), 0) == 0) (void)write_at(file, 0, bytes_of(text), kLockName);
}

}  // namespace

std::optional<std::string> FolderLock::holder(const std::string& path) {
  auto holder = read_holder(path);
  if (!holder) return std::nullopt;
  return std::move(holder->program);
}

Result<FolderLock> FolderLock::take(const std::string& path) {
  const std::string name = path + kLockName;
  COVEY_TRY(FileDescriptor file, open_file(name, OpenMode::kReadWrite));
  if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed(name);
    const auto holder = read_holder(path);
    return unexpected(ErrorCode::kUnavailable,
                      path + " is already in use by another process" +
                          (holder ? " (" + holder->program + ", " + std::to_string(holder->process) + ")" : "") +
                          ": wait for its end or stop it, or name another folder");
  }
  leave_name(file);
  return FolderLock(std::move(file));
}

}  // namespace covey
