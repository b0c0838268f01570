#include "core/service/text_file.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>

#include "core/service/file_limit.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;

TEST_CASE("text file: an output that cannot be written is said before the work, and nothing is made") {
  const TemporaryFolder folder;
  CHECK(check_output(folder / "model.safetensors").has_value());
  CHECK_FALSE(std::filesystem::exists(folder / "model.safetensors"));
  CHECK(check_output("model.safetensors").has_value());  // where we are
  const auto code_of = [](const std::string& path) {
    const auto checked = check_output(path);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().message.find(path) != std::string::npos);
    return checked.error().code;
  };
  CHECK(code_of(folder / "none/model") == ErrorCode::kNotFound);
  CHECK(code_of(folder.path()) == ErrorCode::kInvalidArgument);
  CHECK(code_of(folder / "none/") == ErrorCode::kInvalidArgument);
  REQUIRE(write_file(folder / "file", bytes_of("x")));
  CHECK(code_of(folder / "file/model") == ErrorCode::kInvalidArgument);
  CHECK(check_output(folder / "file").has_value());  // is replaced
}

TEST_CASE("text file: what is never written over, and a folder that is to be made, are looked at before the work too") {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "x");
  CHECK(check_new_file("-o", folder / "new").has_value());
  CHECK(check_new_folder("-o", folder / "new/").has_value());
  CHECK(check_folder("-o", folder / "new").has_value());
  CHECK(check_folder("-o", folder.path()).has_value());  // is written into
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
  for (const auto& refused : {check_new_file("--save", file), check_new_folder("-o", file), check_new_folder("-o", folder.path()), check_folder("-o", file)}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kAlreadyExists);
    CHECK(refused.error().message.find("name a") != std::string::npos);
  }
  for (const auto& refused : {check_new_file("-o", folder / "none/x"), check_new_folder("-o", folder / "none/x"), check_folder("-o", folder / "none/x")}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kNotFound);
    CHECK(refused.error().message.find("none does not exist; make it") != std::string::npos);
  }
  CHECK(check_new_folder("-o", "").error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("text file: only a regular file is read, by us or by a library, and one of ours is never empty") {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, folder.path()}) {
    const auto read = read_file(path, 100);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::kInvalidData);
    CHECK(read.error().message.find("cannot open " + path + ": is a ") == 0);
    CHECK(why_not_readable(path).find(path + ": is a ") == 0);
  }
  const std::string none = folder / "none", empty = folder.write("empty", ""), full = folder.write("full", "x");
  CHECK(read_file(none, 100).error().code == ErrorCode::kNotFound);
  CHECK(why_not_readable(none).empty());  // who opens it says so
  CHECK(read_file(empty, 100).value().empty());
  CHECK(read_filled_file(empty, 100).error().code == ErrorCode::kInvalidData);
  CHECK(read_filled_file(empty, 100).error().message.find(empty + " is empty") == 0);
  CHECK(read_filled_file(full, 100).value().size() == 1);
  CHECK(why_not_readable(full).empty());
}

TEST_CASE("text file: nothing but a regular file is written over; what a link leads to is written, and the link stays") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe", link = folder / "link", lost = folder / "lost", to_pipe = folder / "to_pipe";
  const std::string real = folder.write("real", "old");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_symlink(real, link);
  fs::create_symlink(folder / "none", lost);
  fs::create_symlink(pipe, to_pipe);
  for (const std::string& path : {pipe, lost, to_pipe}) {
    const auto written = write_file(path, bytes_of("new"));
    REQUIRE_FALSE(written);
    CHECK(written.error().message.find("cannot write " + path + ": it is no regular file") == 0);
    CHECK(check_output(path).error().message == written.error().message);
    CHECK_FALSE(fs::is_regular_file(fs::symlink_status(path)));
  }
  REQUIRE(write_file(link, bytes_of("new")));
  CHECK(fs::is_symlink(link));
  CHECK(text_of(read_file(real, 100).value()) == "new");
  // Where the half-written file goes, too.
  for (const std::string& other : {folder / "a", folder / "b"}) {
    if (other == folder / "a") REQUIRE(::mkfifo((other + ".tmp").c_str(), 0600) == 0);
    else fs::create_symlink(real, other + ".tmp");
    CHECK(write_file(other, bytes_of("x")).error().message.find("cannot write " + other + ".tmp: it is no regular file") == 0);
  }
  CHECK(text_of(read_file(real, 100).value()) == "new");
}

TEST_CASE("file limit: what a coordinator wants, and the most that there can be") {
  CHECK(files_wanted(10'000) == 20'256);
  CHECK(file_limit_max() >= 1);
  CHECK(raise_file_limit() <= file_limit_max());
  CHECK(raise_file_limit_to(1).value() == raise_file_limit());
  const auto refused = raise_file_limit_to(file_limit_max() + 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().message.find(std::to_string(file_limit_max()) + " files") != std::string::npos);
  CHECK(refused.error().message.find("LimitNOFILE=") != std::string::npos);
}
