#include "core/protocol/toml_section.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/spec/setting.h"

namespace covey {
namespace {

std::string as_written(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  const std::string text = out.str();
  return text.size() > 60 ? text.substr(0, 60) + "..." : text;
}

}  // namespace

TomlSection::TomlSection(const toml::table* table, std::string path, std::optional<Error>& error)
    : table_(table), path_(std::move(path)), error_(error) {}

std::string TomlSection::full(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

void TomlSection::fail(const char* key, ErrorCode code, const std::string& message) {
  if (error_) return;
  std::string where;
  if (const toml::node* node = table_ == nullptr ? nullptr : table_->get(key))
    where = "line " + std::to_string(node->source().begin.line) + ": ";
  // Validators name the setting themselves; add it only where they did not ("= 3: must be a section, [model]").
  const std::string name = full(key);
  const bool named = !message.starts_with("= ") && message.find(name) != std::string::npos;
  error_ = Error{code, where + (named ? "" : name + " ") + message};
}

const toml::node* TomlSection::find(const char* key) {
  known_.emplace_back(key);
  if (error_ || table_ == nullptr) return nullptr;
  return table_->get(key);
}

bool TomlSection::read_text(const char* key, std::string& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  if (const auto text = node->value_exact<std::string>()) {
    value = *text;
    return true;
  }
  fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be text in quotes");
  return false;
}

void TomlSection::read(const char* key, std::string& value) { read_text(key, value); }

void TomlSection::read(const char* key, std::uint64_t& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto number = node->value_exact<std::int64_t>();
  if (!number || *number < 0)
    return fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a whole number, 0 or more");
  value = static_cast<std::uint64_t>(*number);
}

void TomlSection::read(const char* key, std::uint32_t& value) {
  std::uint64_t wide = value;
  read(key, wide);
  if (wide > std::numeric_limits<std::uint32_t>::max())
    return fail(key, ErrorCode::kInvalidArgument, "= " + std::to_string(wide) + ": must be at most 4294967295");
  value = static_cast<std::uint32_t>(wide);
}

void TomlSection::read(const char* key, double& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (const auto real = node->value_exact<double>(); real && std::isfinite(*real)) {
    value = *real;
  } else if (const auto whole = node->value_exact<std::int64_t>()) {
    value = static_cast<double>(*whole);
  } else {
    fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a finite number");
  }
}

void TomlSection::read(const char* key, bool& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (const auto flag = node->value_exact<bool>()) {
    value = *flag;
  } else {
    fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be true or false");
  }
}

void TomlSection::read(const char* key, std::vector<std::uint32_t>& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  std::vector<std::uint32_t> values;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const auto number = array->get(i)->value_exact<std::int64_t>();
    if (!number || *number < 0 || *number > std::numeric_limits<std::uint32_t>::max()) {
      array = nullptr;
      break;
    }
    values.push_back(static_cast<std::uint32_t>(*number));
  }
  if (array == nullptr)
    return fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a list of whole numbers, as [32, 64]");
  value = std::move(values);
}

void TomlSection::read(const char* key, std::vector<std::string>& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  std::vector<std::string> values;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const auto text = array->get(i)->value_exact<std::string>();
    if (!text) {
      array = nullptr;
      break;
    }
    values.push_back(*text);
  }
  if (array == nullptr)
    return fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a list of texts, as [\"a\", \"b\"]");
  value = std::move(values);
}

void TomlSection::only(const char* key, std::string_view built, std::string_view feature) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::string written = as_written(*node);
  if (written == built || written == "'" + std::string(built) + "'" || written == "\"" + std::string(built) + "\"") return;
  const std::string remedy = built.empty() ? "remove this setting"
                                           : "use " + std::string(key) + " = " +
                                                 (built == "true" || built == "false" ? std::string(built) : setting_text(built)) +
                                                 " or remove it";
  fail(key, ErrorCode::kUnsupported, "= " + written + ": " + std::string(feature) + " is not built yet; " + remedy);
}

const toml::table* TomlSection::child(const char* key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (node->is_table()) return node->as_table();
  fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a section, [" + full(key) + "]");
  return nullptr;
}

const toml::array* TomlSection::array_of_tables(const char* key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  const toml::array* array = node->as_array();
  const bool fits = array != nullptr && std::all_of(array->begin(), array->end(), [](const auto& item) { return item.is_table(); });
  if (fits) return array;
  fail(key, ErrorCode::kInvalidArgument, "= " + as_written(*node) + ": must be a list of tables, as [[" + full(key) + "]]");
  return nullptr;
}

void TomlSection::finish() {
  if (error_ || table_ == nullptr) return;
  for (const auto& [key, node] : *table_) {
    const std::string name(key.str());
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string message = "line " + std::to_string(node.source().begin.line) + ": unknown setting " +
                          setting_text(full(name.substr(0, 64)));
    if (const auto guess = nearest(name, known_)) {
      message += "; did you mean " + setting_text(full(*guess)) + "?";
    } else {
      message += "; remove it (see docs/job_file.md)";
    }
    error_ = Error{ErrorCode::kInvalidArgument, message};
    return;
  }
}

}  // namespace covey
