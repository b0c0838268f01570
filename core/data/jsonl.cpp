#include "core/data/jsonl.h"

#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "core/data/files.h"
#include "core/data/json_text.h"

namespace covey {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

class LineTaker {
 public:
  LineTaker(const JsonlSpec& spec, const std::function<Result<void>(std::string_view)>& take,
            JsonlCount& count)
      : spec_(spec), take_(take), count_(count) {}

  Result<void> read(const std::string& path) {
    COVEY_TRY(const FileDescriptor file, open_file(path, OpenMode::kRead));
    Bytes block(kReadBytes);
    line_.clear();
    number_ = 0;
    too_long_ = false;
    for (std::uint64_t at = 0;;) {
      COVEY_TRY(const std::size_t got, read_at(file, at, block, path));
      at += got;
      COVEY_TRY_VOID(take_block(text_of(ByteSpan(block).first(got)), path));
      if (got < block.size()) break;
    }
    return end_line(path);  // the last one needs no newline
  }

 private:
  Result<void> take_block(std::string_view block, const std::string& path) {
    while (!block.empty()) {
      const std::size_t newline = block.find('\n');
      const std::string_view piece = block.substr(0, newline);
      if (line_.size() + piece.size() > spec_.line_bytes_max) too_long_ = true;
      if (!too_long_) line_ += piece;
      if (newline == std::string_view::npos) break;
      COVEY_TRY_VOID(end_line(path));
      block.remove_prefix(newline + 1);
    }
    return {};
  }

  Result<void> end_line(const std::string& path) {
    ++number_;
    const bool blank = line_.find_first_not_of(" \t\r") == std::string::npos;
    if (blank && !too_long_) {
      line_.clear();
      return {};
    }
    auto text = too_long_ ? Result<std::string>(
                                invalid("is longer than " + std::to_string(spec_.line_bytes_max) + " bytes"))
                          : jsonl_field(line_, spec_.field);
    line_.clear();
    too_long_ = false;
    if (text) {
      ++count_.documents;
      return take_(*text);
    }
    if (++count_.damaged <= spec_.damaged_max) return {};
    return invalid(shown(path, 300) + ", line " + std::to_string(number_) + ": " + text.error().message +
                   "; with it " + std::to_string(count_.damaged) + " lines are damaged, at most " +
                   std::to_string(spec_.damaged_max) + " are passed over");
  }

  const JsonlSpec& spec_;
  const std::function<Result<void>(std::string_view)>& take_;
  JsonlCount& count_;
  std::string line_;
  std::uint64_t number_ = 0;
  bool too_long_ = false;
};

}  // namespace

Result<std::string> jsonl_field(std::string_view line, const std::string& field) {
  COVEY_TRY(const nlohmann::json object, parse_json(line, {.depth_max = 32, .values_max = 100'000}));
  if (!object.is_object()) return invalid("is " + shown_json(object) + ", an object is needed");
  COVEY_TRY(const auto text, find_text(object, field.c_str()));
  if (!text) return invalid("lacks " + shown(field));
  return *text;
}

Result<JsonlCount> for_each_document(const std::string& path, const JsonlSpec& spec,
                                     const std::function<Result<void>(std::string_view)>& take) {
  COVEY_TRY(const FileList list, list_files(path));
  JsonlCount count;
  LineTaker taker(spec, take, count);
  std::size_t files = 0;
  for (const FoundFile& file : list.files) {
    const bool named = list.files.size() == 1 && file.path == path;  // by itself: any name will do
    if (!named && !file.relative.ends_with(".jsonl")) continue;
    ++files;
    COVEY_TRY_VOID(taker.read(file.path));
  }
  if (files == 0) return invalid(shown(path, 300) + " holds no file named *.jsonl");
  return count;
}

}  // namespace covey
