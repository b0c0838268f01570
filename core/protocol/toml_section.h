// Reads one table of a TOML file strictly: types are checked, unknown keys are refused with the
// nearest known one. Private to this room: toml++ stays out of public headers.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "core/base/nearest.h"
#include "core/base/result.h"

namespace covey {

// First error wins; the readers after it do nothing.
class TomlSection {
 public:
  // `table` may be null: every setting keeps its default. `path` is "" at the top, else "model".
  TomlSection(const toml::table* table, std::string path, std::optional<Error>& error);

  void read(const char* key, std::string& value);
  void read(const char* key, std::uint32_t& value);
  void read(const char* key, std::uint64_t& value);
  void read(const char* key, double& value);
  void read(const char* key, bool& value);
  void read(const char* key, std::vector<std::uint32_t>& value);
  void read(const char* key, std::vector<std::string>& value);
  template <class Enum>
  void read(const char* key, Enum& value, Result<Enum> (*from)(std::string_view)) {
    std::string text;
    if (!read_text(key, text)) return;
    auto parsed = from(text);
    if (parsed) {
      value = *parsed;
    } else {
      fail(key, parsed.error().code, parsed.error().message);
    }
  }

  // A feature that is named but not built: only `built` (as written in TOML) is accepted.
  void only(const char* key, std::string_view built, std::string_view feature);

  bool has(const char* key) const { return table_ != nullptr && table_->contains(key); }
  const toml::table* child(const char* key);            // null when absent
  const toml::array* array_of_tables(const char* key);  // null when absent
  // Refuses what nobody asked for.
  void finish();

 private:
  const toml::node* find(const char* key);
  bool read_text(const char* key, std::string& value);
  void fail(const char* key, ErrorCode code, const std::string& message);
  std::string full(std::string_view key) const;

  const toml::table* table_;
  std::string path_;
  std::optional<Error>& error_;
  std::vector<std::string> known_;
};

}  // namespace covey
