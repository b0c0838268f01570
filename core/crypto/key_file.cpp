#include "core/crypto/key_file.h"

#include <sodium.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "core/base/file.h"

namespace covey {
namespace {

constexpr std::size_t kKindBytesMax = 64;
// Kind, space, hex, newline, and one byte more to notice a file that is too long. sodium_bin2hex
// also wants room for a terminating zero.
using Line = Secret<kKindBytesMax + 1 + 2 * kKeyFileSecretBytesMax + 2>;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_line(const FileDescriptor& file, ByteSpan line, const std::string& path) {
  if (::fchmod(file.number(), 0600) != 0) return unexpected(system_error_of(errno, path));
  COVEY_TRY_VOID(write_at(file, 0, line, path));
  COVEY_TRY_VOID(sync_file(file, path));
  return sync_folder(folder_of(path));
}

Result<void> check_mode(const FileDescriptor& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.number(), &status) != 0) return unexpected(system_error_of(errno, path));
  if (!S_ISREG(status.st_mode))
    return unexpected(ErrorCode::kInvalidData, path + " is not a regular file: no key is read from it");
  if ((status.st_mode & 077) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode & 07777));
    return unexpected(ErrorCode::kPermissionDenied,
                      path + " holds a secret and has mode " + mode +
                          ", so others may use it: run 'chmod 600 " + path + "'");
  }
  return {};
}

}  // namespace

Result<void> save_key_file(const std::string& path, std::string_view kind,
                           std::span<const std::uint8_t> secret) {
  COVEY_CHECK(!kind.empty() && kind.size() <= kKindBytesMax);
  COVEY_CHECK(!secret.empty() && secret.size() <= kKeyFileSecretBytesMax);
  Line line;
  const auto bytes = line.expose();
  std::size_t length = static_cast<std::size_t>(
      std::copy(kind.begin(), kind.end(), bytes.begin()) - bytes.begin());
  bytes[length++] = ' ';
  sodium_bin2hex(reinterpret_cast<char*>(bytes.data()) + length, bytes.size() - length,
                 secret.data(), secret.size());
  length += 2 * secret.size();
  bytes[length++] = '\n';

  auto file = open_file(path, OpenMode::kCreateNew);
  if (!file && file.error().code == ErrorCode::kAlreadyExists)
    return unexpected(ErrorCode::kAlreadyExists,
                      path + " is there already: a key is never overwritten; name another file or move it away");
  if (!file) return unexpected(file.error());
  auto written = write_line(*file, bytes.first(length), path);
  // Half a key must not look like a key at the next start; the first error is the one to tell.
  if (!written) (void)remove_file(path);
  return written;
}

Result<void> load_key_file(const std::string& path, std::string_view kind,
                           std::span<std::uint8_t> secret) {
  COVEY_CHECK(!kind.empty() && kind.size() <= kKindBytesMax);
  COVEY_CHECK(!secret.empty() && secret.size() <= kKeyFileSecretBytesMax);
  COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kRead));
  COVEY_TRY_VOID(check_mode(file, path));
  Line line;
  COVEY_TRY(const std::size_t got, read_at(file, 0, line.expose(), path));
  std::string_view text = text_of(line.expose().first(got));
  const auto refuse = [&](const std::string& why) {
    return unexpected(ErrorCode::kInvalidData,
                      path + " holds no " + std::string(kind) + ": " + why);
  };
  if (text.substr(0, kind.size()) != kind || text.size() <= kind.size() || text[kind.size()] != ' ')
    return refuse("it does not begin with that word and a space");
  text.remove_prefix(kind.size() + 1);
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.size() != 2 * secret.size())
    return refuse("expected " + std::to_string(2 * secret.size()) + " hex digits");
  std::size_t decoded = 0;
  if (sodium_hex2bin(secret.data(), secret.size(), text.data(), text.size(), nullptr, &decoded,
                     nullptr) != 0 || decoded != secret.size()) {
    wipe(secret);
    return refuse("not all of it are hex digits");
  }
  return {};
}

}  // namespace covey
