// Small files, whole: read with a bound, written atomically and durably.
#pragma once
#include <string>

#include "core/base/bytes.h"

namespace covey {

// Errors: kNotFound, kPermissionDenied, kInvalidData when larger than `bytes_max` or no regular file; each names the path.
Result<Bytes> read_file(const std::string& path, std::size_t bytes_max);
// Of a file that a program of ours wrote and that is never empty. Errors: read_file's; kInvalidData where it is.
Result<Bytes> read_filled_file(const std::string& path, std::size_t bytes_max);
// What a decoder of messages found wrong in the file at `path`: kInvalidMessage is the file's fault, kInvalidData.
Error in_file(const std::string& path, Error error);
// What is wrong with `path` for a library that is to read it by itself; empty for a regular file, and for none.
std::string why_not_readable(const std::string& path);
// tmp, fsync, rename, fsync of the folder; a link to a regular file stays one. Errors: kDiskFull, kPermissionDenied,
// kInvalidArgument where a device, pipe or socket lies there.
Result<void> write_file(const std::string& path, ByteSpan content);
// Whether write_file() could put a file there, asked before long work: the folder is there and takes one, and
// `path` is no folder itself. Errors: kNotFound, kInvalidArgument, kPermissionDenied; each names the path.
Result<void> check_output(const std::string& path);
// "models/" is the folder models.
std::string without_slash(std::string path);
// The same for what is never written over anything: a file, or a folder that is to be made (its parent is there).
// `flag` begins the error. Errors: check_output's; kAlreadyExists.
Result<void> check_new_file(const std::string& flag, const std::string& path);
Result<void> check_new_folder(const std::string& flag, const std::string& path);
// Of a folder that is written into where it is there, and made where it is not.
Result<void> check_folder(const std::string& flag, const std::string& path);
Result<void> make_folders(const std::string& path, unsigned mode);

}  // namespace covey
