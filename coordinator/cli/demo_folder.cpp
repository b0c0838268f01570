#include "coordinator/cli/demo_folder.h"

#include <filesystem>

#include "core/service/text_file.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = "made-by-covey-demo";

}  // namespace

Result<void> fresh_demo_folder(const std::string& folder) {
  std::error_code code;
  if (fs::exists(folder, code)) {
    const bool ours = fs::is_directory(folder, code) && fs::exists(folder + "/" + kMark, code);
    if (!ours && !(fs::is_directory(folder, code) && fs::is_empty(folder, code)))
      return unexpected(
          ErrorCode::kAlreadyExists,
          folder + " is there already and no demonstration made it; name another folder with --dir");
    fs::remove_all(folder, code);
    if (code)
      return unexpected(ErrorCode::kPermissionDenied,
                        "cannot remove the last demonstration's " + folder + ": " + code.message());
  }
  COVEY_TRY_VOID(make_folders(folder, 0700));
  return write_file(folder + "/" + kMark, bytes_of("`covey demo` may delete this folder and all in it.\n"));
}

std::string indented(std::string_view text, std::string_view indent) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += indent;
  }
  return out;
}

}  // namespace covey::cli
