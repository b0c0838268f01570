#include "core/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <charconv>
#include <cmath>

#include "core/base/clock.h"

namespace covey {
namespace {

// Length of the valid UTF-8 sequence at the head of `text`, which is not empty; 0 if it is invalid
// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  return length;
}

void append_unicode_escape(std::string& out, unsigned code) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += "\\u00";
  out += digits[code >> 4 & 15];
  out += digits[code & 15];
}

// The inside of a JSON string. Text logs use it too, so that a peer's name cannot steer a terminal.
void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD stands for a byte that is not UTF-8
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c < 0x20 || c == 0x7f) {
      append_unicode_escape(out, c);
    } else if (c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {  // C1 controls
      append_unicode_escape(out, static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

template <class Number>
void append_number(std::string& out, Number value) {
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_json_value(std::string& out, const LogValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) append_quoted(out, *text);
  else if (const auto* integer = std::get_if<std::int64_t>(&value)) append_number(out, *integer);
  else if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
  else if (const double number = std::get<double>(value); std::isfinite(number)) append_number(out, number);
  else out += "null";
}

bool is_plain_word(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return false;
  return !text.empty();
}

void append_text_word(std::string& out, std::string_view text) {
  if (is_plain_word(text)) out += text;
  else append_quoted(out, text);
}

void append_text_value(std::string& out, const LogValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) append_text_word(out, *text);
  else if (const auto* integer = std::get_if<std::int64_t>(&value)) append_number(out, *integer);
  else if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
  else append_number(out, std::get<double>(value));
}

const char* json_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "unknown";
}

const char* text_name(LogLevel level) {  // five columns
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info ";
    case LogLevel::kWarning: return "warn ";
    case LogLevel::kError: return "error";
  }
  return "?    ";
}

std::string json_line(const LogEntry& entry, Instant now) {
  std::string out = R"({"time":")" + iso8601(now) + R"(","level":")" + json_name(entry.level) +
                    R"(","event":)";
  append_quoted(out, entry.event);
  for (const LogField& field : entry.fields) {
    out += ",\"";
    append_escaped(out, field.name);
    // A second member of the same name would make the line ambiguous.
    if (field.name == "time" || field.name == "level" || field.name == "event") out += '_';
    out += "\":";
    append_json_value(out, field.value);
  }
  out += '}';
  return out;
}

std::string text_line(const LogEntry& entry, Instant now) {
  std::string out = iso8601(now).substr(11, 12);
  out += ' ';
  out += text_name(entry.level);
  out += ' ';
  append_text_word(out, entry.event);
  for (const LogField& field : entry.fields) {
    out += ' ';
    append_text_word(out, field.name);
    out += '=';
    append_text_value(out, field.value);
  }
  return out;
}

class SpdlogLog final : public Log {
 public:
  SpdlogLog(const LogOptions& options, spdlog::sink_ptr sink)
      : format_(options.format), level_(options.level), logger_("covey", std::move(sink)) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::trace);
    logger_.flush_on(spdlog::level::trace);
  }

  void write(const LogEntry& entry) override {
    if (entry.level < level_) return;
    const Instant now = clock_.now();
    const std::string line =
        format_ == LogFormat::kJson ? json_line(entry, now) : text_line(entry, now);
    logger_.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  LogFormat format_;
  LogLevel level_;
  SystemClock clock_;
  spdlog::logger logger_;  // its sink holds a mutex, and reports its own write errors on stderr
};

}  // namespace

void Log::debug(std::string event, std::vector<LogField> fields) {
  write({LogLevel::kDebug, std::move(event), std::move(fields)});
}
void Log::info(std::string event, std::vector<LogField> fields) {
  write({LogLevel::kInfo, std::move(event), std::move(fields)});
}
void Log::warning(std::string event, std::vector<LogField> fields) {
  write({LogLevel::kWarning, std::move(event), std::move(fields)});
}
void Log::error(std::string event, std::vector<LogField> fields) {
  write({LogLevel::kError, std::move(event), std::move(fields)});
}

std::unique_ptr<Log> make_log(const LogOptions& options) {
  const auto to_stderr = [&] {
    return std::make_unique<SpdlogLog>(options, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  };
  if (options.file.empty()) return to_stderr();
  try {
    return std::make_unique<SpdlogLog>(
        options, std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
  } catch (const spdlog::spdlog_ex& error) {
    auto log = to_stderr();
    log->error("log_file_unusable", {{"file", options.file}, {"reason", error.what()},
                                     {"instead", "standard error"}});
    return log;
  }
}

}  // namespace covey
