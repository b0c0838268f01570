#include "core/base/file.h"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "tests/core/base/child_process.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;

TEST_CASE("file: written and read at positions") {
  const TemporaryFolder folder;
  const std::string path = folder / "values";
  auto file = open_file(path, OpenMode::kCreateNew);
  REQUIRE(file);
  CHECK(write_at(*file, 3, bytes_of("def"), path));
  CHECK(write_at(*file, 0, bytes_of("abc"), path));
  CHECK(sync_file(*file, path));
  CHECK(*file_size(*file, path) == 6);
  Bytes got(4);
  CHECK(*read_at(*file, 1, got, path) == 4);
  CHECK(text_of(got) == "bcde");
  CHECK(*read_at(*file, 5, got, path) == 1);  // the end
  CHECK(read_at(*file, ~std::uint64_t{0}, got, path).error().code == ErrorCode::kInvalidArgument);

  CHECK(open_file(path, OpenMode::kCreateNew).error().code == ErrorCode::kAlreadyExists);
  CHECK(*file_size(*open_file(path, OpenMode::kReplace), path) == 0);
  CHECK(remove_file(path));
  CHECK(remove_file(path));
  const auto gone = open_file(path, OpenMode::kRead);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == ErrorCode::kNotFound);
  CHECK(gone.error().message.find(path) != std::string::npos);
}

TEST_CASE("file: a descriptor is closed once, by its last owner") {
  const TemporaryFolder folder;
  auto first = *open_file(folder / "a", OpenMode::kReadWrite);
  const int number = first.number();
  FileDescriptor second = std::move(first);
  CHECK(first.number() == -1);
  CHECK(second.number() == number);
  second = FileDescriptor();
  errno = 0;
  CHECK(::fsync(number) == -1);
  CHECK(errno == EBADF);
}

TEST_CASE("file: what is no regular file is not read, and a pipe does not block") {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, folder.path(), std::string("/dev/zero")}) {
    const auto opened = open_file(path, OpenMode::kRead);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == ErrorCode::kInvalidData);
    CHECK(opened.error().message.find(path + ": is a ") == 0);
  }
  CHECK(open_file(folder.path(), OpenMode::kReplace).error().code == ErrorCode::kInvalidData);
}

TEST_CASE("file: a full disk is told as such") {
  const auto file = open_file("/dev/full", OpenMode::kReadWrite);
  if (!file) {
    MESSAGE("no /dev/full here");
    return;
  }
  const auto written = write_at(*file, 0, bytes_of("x"), "/dev/full");
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ErrorCode::kDiskFull);
  CHECK(written.error().message.find("/dev/full") == 0);
}

TEST_CASE("file: folders are made with their parents, and a file in the way is told") {
  const TemporaryFolder folder;
  CHECK(make_folders(folder / "a/b/c"));
  CHECK(make_folders(folder / "a/b/c/"));
  CHECK(std::filesystem::is_directory(folder / "a/b/c"));
  REQUIRE(open_file(folder / "plain", OpenMode::kReadWrite));
  CHECK(make_folders(folder / "plain").error().message.find("not a folder") != std::string::npos);
  CHECK_FALSE(make_folders(folder / "plain/below").has_value());
}

TEST_CASE("folder lock: one process at a time, and free again when it ends") {
  const TemporaryFolder folder;
  const auto own_name = [] { return std::string(program_invocation_short_name); };
  {
    const auto held = FolderLock::take(folder.path());
    const pid_t parent = ::getpid();
    REQUIRE(held);
    const auto child = in_child_process([&] {
      const auto second = FolderLock::take(folder.path());
      return !second && second.error().code == ErrorCode::kUnavailable &&
                     second.error().message.find("already in use by another process (" + own_name() + ", " + std::to_string(parent) + ")") != std::string::npos &&
                     FolderLock::holder(folder.path()) == own_name()
                 ? 0 : 1;
    });
    CHECK(child.exit_code == 0);
  }
  for (const char* rubbish : {"", "1", "x y\n", "-1 name\n", "0 name\n", "1 a name\n", "1 name"}) {
    CAPTURE(rubbish);
    std::ofstream(folder / "covey.lock", std::ios::trunc) << rubbish;
    CHECK_FALSE(FolderLock::holder(folder.path()));
  }
  CHECK(FolderLock::take(folder.path()));
  CHECK_FALSE(FolderLock::holder(folder / "none"));
  CHECK(FolderLock::take(folder.path()));
}
