#include "core/service/text_file.h"

#include <doctest/doctest.h>

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

TEST_CASE("file limit: what a coordinator wants, and the most that there can be") {
  CHECK(files_wanted(10'000) == 20'256);
  CHECK(file_limit_max() >= 1);
  CHECK(raise_file_limit() <= file_limit_max());
}
