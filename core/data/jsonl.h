// Documents in JSON lines: {"text": "..."} one a line, read a piece at a time, whatever the file's size.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace covey {

struct JsonlSpec {
  std::string field = "text";
  std::uint64_t damaged_max = 100;        // lines passed over before it is an error
  std::size_t line_bytes_max = 16 << 20;  // a longer line is damaged
};
struct JsonlCount {
  std::uint64_t documents = 0, damaged = 0;
};
// Calls `take` for the field of every line of a file, or of all *.jsonl of a folder in the order of their
// names. Blank lines are none. A line that is no JSON object, lacks the field, holds something else than
// text there, or is too long is counted and passed over. Errors: kNotFound; kInvalidData (no *.jsonl; more
// than `damaged_max`, with the file, the line's number and what is wrong with it); those of `take`.
Result<JsonlCount> for_each_document(const std::string& path, const JsonlSpec& spec,
                                     const std::function<Result<void>(std::string_view)>& take);

// One line's field. Errors: kInvalidData.
Result<std::string> jsonl_field(std::string_view line, const std::string& field);

}  // namespace covey
