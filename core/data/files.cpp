#include "core/data/files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

namespace covey {
namespace {

namespace fs = std::filesystem;

Unexpected not_found(const std::string& path) {
  return unexpected(ErrorCode::kNotFound, shown(path, 300) + " does not exist: check the path");
}

Unexpected unreadable(const std::string& path, const std::error_code& reason) {
  return unexpected(ErrorCode::kInvalidData, "cannot read " + shown(path, 300) + ": " + reason.message() +
                                                 "; make it readable, or move it elsewhere");
}

bool missing(const fs::file_status& status) { return status.type() == fs::file_type::not_found; }

struct Pending {
  fs::path folder;
  std::string relative;  // ends in '/' unless empty
};

// Adds one folder's files to `list` and its subfolders to `pending`.
Result<void> scan_folder(const Pending& at, FileList& list, std::vector<Pending>& pending) {
  std::error_code error;
  fs::directory_iterator entry(at.folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::file_status status = entry->symlink_status(error);
    if (error) break;
    std::string relative = at.relative + entry->path().filename().string();
    if (fs::is_symlink(status)) {
      ++list.links_skipped;
    } else if (fs::is_directory(status)) {
      pending.push_back({entry->path(), std::move(relative) + "/"});
    } else if (fs::is_regular_file(status)) {
      const std::uintmax_t size = entry->file_size(error);
      if (error) return unreadable(entry->path().string(), error);
      if (list.files.size() == kFilesMax)
        return unexpected(ErrorCode::kInvalidData,
                          "more than " + std::to_string(kFilesMax) + " files: name a smaller folder");
      list.files.push_back({entry->path().string(), std::move(relative), size});
    }
  }
  if (error) return unreadable(at.folder.string(), error);
  return {};
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

std::string shown(std::string_view text, std::size_t length_max) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, length_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\') {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > length_max ? "...\"" : "\"");
}

Result<FileList> list_files(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (missing(status)) return not_found(path);
  if (error) return unreadable(path, error);

  FileList list;
  if (fs::is_regular_file(status)) {
    const std::uintmax_t size = fs::file_size(path, error);
    if (error) return unreadable(path, error);
    list.files.push_back({path, fs::path(path).filename().string(), size});
    return list;
  }
  if (!fs::is_directory(status))
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) +
                                                   " is neither a regular file nor a folder: name "
                                                   "the file or folder that holds the data");
  std::vector<Pending> pending{{fs::path(path), ""}};
  while (!pending.empty()) {
    const Pending at = std::move(pending.back());
    pending.pop_back();
    COVEY_TRY_VOID(scan_folder(at, list, pending));
  }
  std::sort(list.files.begin(), list.files.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.relative < b.relative; });
  return list;
}

Result<FileList> list_documents(const std::string& path) {
  COVEY_TRY(FileList list, list_files(path));
  const bool named = list.files.size() == 1 && list.files[0].path == path;
  if (!named) std::erase_if(list.files, [](const FoundFile& file) { return file.relative == kTokenizerFile; });
  return list;
}

Result<Bytes> read_data_file(const std::string& path, std::uint64_t bytes_max) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (missing(status)) return not_found(path);
  if (error) return unreadable(path, error);
  if (!fs::is_regular_file(status))  // a FIFO or device could block or never end
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + " is not a regular file");
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return unreadable(path, error);
  if (size > bytes_max)
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) + " has " + std::to_string(size) +
                                                   " bytes, at most " + std::to_string(bytes_max) +
                                                   " are read: split it or leave it out");
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (!file) return unreadable(path, {errno, std::generic_category()});
  Bytes bytes(size);
  const std::size_t got = size == 0 ? 0 : std::fread(bytes.data(), 1, bytes.size(), file.get());
  if (std::ferror(file.get()) != 0) return unreadable(path, {errno, std::generic_category()});
  if (got != size || (size != 0 && std::fgetc(file.get()) != EOF))
    return unexpected(ErrorCode::kInvalidData, shown(path, 300) +
                                                   " changed while it was read: try again when "
                                                   "nothing writes to it");
  return bytes;
}

Result<FileDescriptor> create_data_file(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.number() < 0) return unexpected(system_error_of(errno, path));
  return file;
}

Result<void> make_data_folders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);  // 0777 less the umask
  if (!error && !fs::is_directory(path, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) return unexpected(system_error_of(error.value(), path));
  const std::string parent = fs::path(path).parent_path().string();
  return sync_folder(parent.empty() ? "." : parent);
}

}  // namespace covey
