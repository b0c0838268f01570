// Finding and reading a user's files, with errors that name them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/result.h"

namespace covey {

// `text` in quotes for an error message: control bytes escaped, cut after `length_max` bytes.
std::string shown(std::string_view text, std::size_t length_max = 80);

struct FoundFile {
  std::string path;      // as it can be opened
  std::string relative;  // below the folder asked for, with '/'; the file's name where it was named itself
  std::uint64_t size = 0;
};
struct FileList {
  std::vector<FoundFile> files;     // sorted by `relative`, bytewise
  std::uint64_t links_skipped = 0;  // symbolic links below the folder
};

// The regular files at or below `path`. Links below it are not followed: they would lead outside,
// in circles, or to the same file twice. `path` itself may be one.
// Errors: kNotFound; kInvalidData (an unreadable folder, a device, more files than kFilesMax).
inline constexpr std::size_t kFilesMax = 2'000'000;
Result<FileList> list_files(const std::string& path);

// Those of them that are documents: all but the folder's own tokenizer.json, which lies beside the text that it
// encodes. A file that `path` itself names is one, whatever it is called. Errors: list_files()'s.
inline constexpr const char* kTokenizerFile = "tokenizer.json";
Result<FileList> list_documents(const std::string& path);

// A whole regular file. Errors: kNotFound; kInvalidData when it is unreadable, is not a regular
// file, is longer than `bytes_max`, or changes while it is read.
Result<Bytes> read_data_file(const std::string& path, std::uint64_t bytes_max);

// What is written for other tools and people: a new file of mode 0644, and a folder with its parents of mode
// 0777, less what the umask takes (open_file() and make_folders() keep theirs to this user: they hold state).
// Errors: as open_file's and make_folders'.
Result<FileDescriptor> create_data_file(const std::string& path);
Result<void> make_data_folders(const std::string& path);

}  // namespace covey
