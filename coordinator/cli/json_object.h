// One JSON object on one line, its keys in the order in which they were added.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace covey::cli {

// In quotes; bytes that are no UTF-8 become U+FFFD, so that every line parses.
std::string json_text(std::string_view text);

class JsonObject {
 public:
  JsonObject& add(std::string_view key, std::string_view value) { return raw(key, json_text(value)); }
  JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
  JsonObject& add(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonObject& add(std::string_view key, double value);  // null when it is not finite
  template <std::integral Integer>
  JsonObject& add(std::string_view key, Integer value) {
    return raw(key, std::to_string(value));
  }
  JsonObject& add(std::string_view key, const JsonObject& value) { return raw(key, value.text()); }
  JsonObject& add(std::string_view key, const std::vector<JsonObject>& values);
  JsonObject& null(std::string_view key) { return raw(key, "null"); }
  std::string text() const { return "{" + body_ + "}"; }

 private:
  JsonObject& raw(std::string_view key, const std::string& value);
  std::string body_;
};

}  // namespace covey::cli
