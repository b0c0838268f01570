// Copies of files that never change, and of the values of a blob store, for backups.
#pragma once
#include <set>
#include <string>

#include "core/base/bytes.h"

namespace covey {

enum class CopyMode {
  kLinkOrCopy,  // a second name of the same bytes where the disk is the same, else a copy
  kCopy,
};

struct CopiedFile {
  std::uint64_t size = 0;
  Digest hash;  // SHA-256 of its bytes
};
// `to` must not be there and its folder must be. The bytes are durable when it returns, the name when
// the folder is synced. Errors: kDiskFull, kNotFound, kAlreadyExists.
Result<CopiedFile> copy_file(const std::string& from, const std::string& to, CopyMode mode);
Result<CopiedFile> hash_of_file(const std::string& path);

// The whole values `ids` of the blob folder `from` (open_blob_files) under the folder `to`, laid out
// alike. Errors: kCorrupted naming the value that is not there, kDiskFull.
Result<void> copy_blobs(const std::string& from, const std::string& to, const std::set<Digest>& ids);

// Every file below `folder`, as paths relative to it, sorted. Errors: kInvalidData for anything that
// is neither a file nor a folder.
Result<std::vector<std::string>> files_below(const std::string& folder);
// Syncs `folder` and every folder below it. Files are synced by who wrote them.
Result<void> sync_folders_below(const std::string& folder);
// With all it holds; of a missing one: success.
Result<void> remove_folder(const std::string& folder);

}  // namespace covey
