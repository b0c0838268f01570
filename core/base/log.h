// Logging through an injected Log: an event name and fields, as JSON lines or text.
// Keys, shares, updates and data have no field type here, so they cannot be logged.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace covey {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

using LogValue = std::variant<std::string, std::int64_t, double, bool>;

struct LogField {
  LogField(std::string field_name, std::string field_value)
      : name(std::move(field_name)), value(std::move(field_value)) {}
  LogField(std::string field_name, const char* field_value)
      : name(std::move(field_name)), value(std::string(field_value)) {}
  LogField(std::string field_name, bool field_value) : name(std::move(field_name)), value(field_value) {}
  LogField(std::string field_name, double field_value) : name(std::move(field_name)), value(field_value) {}
  template <class Integer>
    requires std::is_integral_v<Integer>
  LogField(std::string field_name, Integer field_value)
      : name(std::move(field_name)), value(static_cast<std::int64_t>(field_value)) {}
  std::string name;
  LogValue value;
  bool operator==(const LogField&) const = default;
};

struct LogEntry {
  LogLevel level = LogLevel::kInfo;
  std::string event;  // snake_case, stable: scripts match on it
  std::vector<LogField> fields;
  bool operator==(const LogEntry&) const = default;
};

class Log {
 public:
  virtual ~Log() = default;
  virtual void write(const LogEntry& entry) = 0;

  void debug(std::string event, std::vector<LogField> fields = {});
  void info(std::string event, std::vector<LogField> fields = {});
  void warning(std::string event, std::vector<LogField> fields = {});
  void error(std::string event, std::vector<LogField> fields = {});
};

// One line an entry to standard error (or a file), thread-safe, flushed at once.
// JSON: {"time":"...","level":"info","event":"...", fields...}.
struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
  std::string file;  // empty: standard error
};
std::unique_ptr<Log> make_log(const LogOptions& options);

// Drops everything; for tests and quiet tools.
class NullLog final : public Log {
 public:
  void write(const LogEntry&) override {}
};

}  // namespace covey
