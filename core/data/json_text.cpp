#include "core/data/json_text.h"

#include <cmath>
#include <unordered_set>
#include <vector>

#include "core/data/files.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

// Counts the events of nlohmann's SAX parser without building anything; returning false stops it.
class LimitReader {
 public:
  explicit LimitReader(const JsonLimits& limits) : limits_(limits) {}
  std::string fault;

  bool start_object(std::size_t) { return open(); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (!names_.back().insert(name).second) return fail("the name " + shown(name) + " is there twice");
    return one();
  }
  bool string(std::string&) { return one(); }
  bool number_unsigned(std::uint64_t) { return one(); }
  bool number_integer(std::int64_t) { return one(); }
  bool number_float(double, const std::string&) { return one(); }
  bool null() { return one(); }
  bool boolean(bool) { return one(); }
  bool binary(nlohmann::json::binary_t&) { return fail("binary"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    return fail("not JSON at byte " + std::to_string(position));
  }

 private:
  bool fail(std::string what) {
    if (fault.empty()) fault = std::move(what);
    return false;
  }
  bool one() {
    if (++values_ <= limits_.values_max) return true;
    return fail("more than " + std::to_string(limits_.values_max) + " values");
  }
  bool open() {
    if (names_.size() == limits_.depth_max)
      return fail("nested deeper than " + std::to_string(limits_.depth_max));
    names_.emplace_back();
    return one();
  }
  bool close() {
    names_.pop_back();
    return true;
  }

  JsonLimits limits_;
  std::size_t values_ = 0;
  std::vector<std::unordered_set<std::string>> names_;  // of the objects that are open
};

Unexpected wrong(const char* name, const nlohmann::json& value, const std::string& needed) {
  return invalid(std::string(name) + " = " + shown_json(value) + ": " + needed + " is needed");
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.find('\0') != std::string_view::npos) return invalid("not JSON: it holds a NUL");
  try {
    LimitReader reader(limits);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) return invalid(reader.fault);
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& e) {
    return invalid(std::string("not JSON: ") + shown(e.what(), 200));
  }
}

const nlohmann::json* find_member(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

Result<std::optional<std::uint64_t>> find_uint(const nlohmann::json& object, const char* name,
                                               JsonRange range) {
  const nlohmann::json* value = find_member(object, name);
  if (value == nullptr) return std::optional<std::uint64_t>();
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() < range.min ||
      value->get<std::uint64_t>() > range.max)
    return wrong(name, *value,
                 "a whole number from " + std::to_string(range.min) + " to " + std::to_string(range.max));
  return std::optional(value->get<std::uint64_t>());
}

Result<std::optional<double>> find_number(const nlohmann::json& object, const char* name) {
  const nlohmann::json* value = find_member(object, name);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number() || !std::isfinite(value->get<double>()))
    return wrong(name, *value, "a finite number");
  return std::optional(value->get<double>());
}

Result<std::optional<bool>> find_bool(const nlohmann::json& object, const char* name) {
  const nlohmann::json* value = find_member(object, name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong(name, *value, "true or false");
  return std::optional(value->get<bool>());
}

Result<std::optional<std::string>> find_text(const nlohmann::json& object, const char* name) {
  const nlohmann::json* value = find_member(object, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(name, *value, "text");
  return std::optional(value->get<std::string>());
}

std::string shown_json(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return text;
}

}  // namespace covey
