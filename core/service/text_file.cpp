#include "core/service/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "core/base/fault_point.h"
#include "core/base/file.h"

namespace covey {
namespace {

// Strangers can hold every descriptor for as long as a handshake may take: what must be written waits
// for them to be thrown out.
int open_patiently(const char* path, int flags) {
  constexpr std::chrono::seconds kPatience(30);
  constexpr std::chrono::milliseconds kPause(50);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const int fd = ::open(path, flags, 0644);
    const int error = errno;
    if (fd >= 0 || (error != EMFILE && error != ENFILE) || std::chrono::steady_clock::now() > end) {
      errno = error;
      return fd;
    }
    std::this_thread::sleep_for(kPause);
  }
}

Unexpected failed(const std::string& what, const std::string& path, int code) {
  const std::string message = "cannot " + what + " " + path + ": " + std::strerror(code);
  if (code == ENOENT) return unexpected(ErrorCode::kNotFound, message);
  if (code == EACCES || code == EPERM || code == EROFS) return unexpected(ErrorCode::kPermissionDenied, message);
  if (code == ENOSPC || code == EDQUOT || code == EFBIG)
    return unexpected(ErrorCode::kDiskFull, message + "; free some space and try again");
  return unexpected(ErrorCode::kInternal, message);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

Result<void> write_all(int fd, ByteSpan content, const std::string& path) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::write(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write", path, errno);
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(fd) != 0) return failed("sync", path, errno);
  return {};
}

}  // namespace

Result<Bytes> read_file(const std::string& path, std::size_t bytes_max) {
  auto opened = open_file(path, OpenMode::kRead);
  if (!opened) return unexpected(Error{opened.error().code, "cannot open " + opened.error().message});
  const FileDescriptor file = *std::move(opened);
  Bytes content;
  Bytes buffer(64 * 1024);
  for (;;) {
    const ssize_t n = ::read(file.number(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read", path, errno);
    if (n == 0) return content;
    content.insert(content.end(), buffer.begin(), buffer.begin() + n);
    if (content.size() > bytes_max)
      return unexpected(ErrorCode::kInvalidData, path + " has more than " + std::to_string(bytes_max) + " bytes");
  }
}

Result<Bytes> read_filled_file(const std::string& path, std::size_t bytes_max) {
  COVEY_TRY(Bytes bytes, read_file(path, bytes_max));
  if (!bytes.empty()) return bytes;
  return unexpected(ErrorCode::kInvalidData, path + " is empty: put it back from a copy of its folder");
}

Error in_file(const std::string& path, Error error) {
  if (error.code == ErrorCode::kInvalidMessage) error.code = ErrorCode::kInvalidData;
  return in_context(path, std::move(error));
}

std::string why_not_readable(const std::string& path) {
  const auto opened = open_file(path, OpenMode::kRead);
  return opened || opened.error().code == ErrorCode::kNotFound ? "" : opened.error().message;
}

namespace {

Unexpected no_regular_file(const std::string& path) {
  return unexpected(ErrorCode::kInvalidArgument, "cannot write " + path + ": it is no regular file (a device, pipe or socket, or a link to none); "
                                                 "name another, or remove it");
}

// Where the file is that `path` names: what a link leads to is written, and the link stays. Renamed over, a device or a
// pipe would be gone for everyone.
Result<std::string> place_of(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return path;
  std::error_code code;
  const std::string target = std::filesystem::canonical(path, code).string();
  if (!S_ISLNK(status.st_mode) || code || !std::filesystem::is_regular_file(target, code)) return no_regular_file(path);
  return target;
}

}  // namespace

Result<void> write_file(const std::string& named, ByteSpan content) {
  COVEY_TRY(const std::string path, place_of(named));
  const std::string temporary = path + ".tmp";
  {
    // What lies there is a half-written file of ours; where it is a link or a pipe, somebody else's.
    const Descriptor file(open_patiently(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    const bool opened = file.valid() && ::fstat(file.get(), &status) == 0;
    if (opened ? !S_ISREG(status.st_mode) : errno == ELOOP || errno == ENXIO) return no_regular_file(temporary);
    if (!opened) return failed("create", temporary, errno);
    if (const auto written = write_all(file.get(), content, temporary); !written) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  fault_point("text_file.written");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("rename", temporary, errno);
  fault_point("text_file.renamed");
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Descriptor parent(open_patiently(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid() || ::fsync(parent.get()) != 0) return failed("sync", folder, errno);
  fault_point("text_file.end");
  return {};
}

namespace {

// Whether `path` can be made where it is to be. `what`: file or folder.
Result<void> check_place(const std::string& path, const std::string& what) {
  namespace fs = std::filesystem;
  std::error_code code;
  const std::string parent = fs::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  if (!fs::exists(folder, code))
    return unexpected(ErrorCode::kNotFound, "cannot write " + path + ": the folder " + folder + " does not exist; make it, or name another " + what);
  if (!fs::is_directory(folder, code))
    return unexpected(ErrorCode::kInvalidArgument, "cannot write " + path + ": " + folder + " is no folder; name another " + what);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return failed("write into", folder, errno);
  return {};
}

Result<void> check_absent(const std::string& flag, const std::string& path, const std::string& what) {
  if (!file_exists(path)) return {};
  return unexpected(ErrorCode::kAlreadyExists, flag + " " + path + " is there already: name another " + what + ", or remove it");
}

}  // namespace

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

Result<void> check_output(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code code;
  if (path.empty() || fs::path(path).filename().empty() || fs::is_directory(path, code))
    return unexpected(ErrorCode::kInvalidArgument, "cannot write " + path + ": it is a folder; name a file");
  COVEY_TRY(const std::string place, place_of(path));
  return check_place(place, "file");
}

Result<void> check_new_file(const std::string& flag, const std::string& path) {
  COVEY_TRY_VOID(check_output(path));
  return check_absent(flag, path, "file");
}

Result<void> check_new_folder(const std::string& flag, const std::string& path) {
  if (path.empty()) return unexpected(ErrorCode::kInvalidArgument, flag + " is empty: name a new folder");
  COVEY_TRY_VOID(check_absent(flag, path, "folder"));
  return check_place(without_slash(path), "folder");
}

Result<void> check_folder(const std::string& flag, const std::string& path) {
  if (path.empty()) return unexpected(ErrorCode::kInvalidArgument, flag + " is empty: name a folder");
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) return {};
  if (file_exists(path)) return unexpected(ErrorCode::kAlreadyExists, flag + " " + path + " is a file; name a folder");
  return check_place(without_slash(path), "folder");
}

Result<void> make_folders(const std::string& path, unsigned mode) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) return {};
  std::filesystem::create_directories(path, code);
  if (code) return failed("make folder", path, code.value());
  ::chmod(path.c_str(), static_cast<mode_t>(mode));
  return {};
}

}  // namespace covey
