// JSON from users' files: bounded before a tree is built, and read by name with errors that say what is
// wrong. For the sources of this folder only: no header of another room includes it.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace covey {

struct JsonLimits {
  std::size_t depth_max = 32;
  std::size_t values_max = 1'000'000;  // of all kinds, names of members too
};

// Errors: kInvalidData (not JSON, with the byte; a NUL; not UTF-8; a name twice in one object, which
// readers understand differently; deeper or more than the limits).
Result<nlohmann::json> parse_json(std::string_view text, const JsonLimits& limits);

// Members of an object. An absent member and null are nothing. Errors: kInvalidData naming the member
// where it is of another type or out of range.
struct JsonRange {
  std::uint64_t min = 0, max = 0;
};
Result<std::optional<std::uint64_t>> find_uint(const nlohmann::json& object, const char* name,
                                               JsonRange range);
Result<std::optional<double>> find_number(const nlohmann::json& object, const char* name);  // finite
Result<std::optional<bool>> find_bool(const nlohmann::json& object, const char* name);
Result<std::optional<std::string>> find_text(const nlohmann::json& object, const char* name);
// The member, where it is neither absent nor null.
const nlohmann::json* find_member(const nlohmann::json& object, const char* name);

// For messages: the JSON of `value`, cut after 80 bytes.
std::string shown_json(const nlohmann::json& value);

}  // namespace covey
