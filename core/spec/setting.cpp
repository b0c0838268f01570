#include "core/spec/setting.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/check.h"

namespace covey {

std::string setting_text(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  COVEY_CHECK(end.ec == std::errc{});
  return {buffer, end.ptr};
}

std::string setting_text(std::string_view value) {
  constexpr std::size_t kShown = 64;
  std::string text = "\"";
  for (const char c : value.substr(0, kShown)) text += c >= 0x20 && c < 0x7f ? c : '?';
  if (value.size() > kShown) text += "...";
  return text + '"';
}

Unexpected bad_setting(std::string_view name, std::string_view value_text, std::string_view rule) {
  std::string message(name);
  message.append(" = ").append(value_text).append(": ").append(rule);
  return unexpected(ErrorCode::kInvalidArgument, std::move(message));
}

Result<void> setting_within(std::string_view name, std::uint64_t value, std::uint64_t low,
                            std::uint64_t high) {
  if (value >= low && value <= high) return {};
  return bad_setting(name, std::to_string(value),
                     "must lie in [" + std::to_string(low) + ", " + std::to_string(high) +
                         "]; try " + std::to_string(std::clamp(value, low, high)));
}

Result<void> setting_within(std::string_view name, double value, double low, double high) {
  if (std::isfinite(value) && value >= low && value <= high) return {};
  const std::string range = "[" + setting_text(low) + ", " + setting_text(high) + "]";
  if (!std::isfinite(value))
    return bad_setting(name, setting_text(value), "must be a finite number in " + range);
  return bad_setting(name, setting_text(value),
                     "must lie in " + range + "; try " + setting_text(std::clamp(value, low, high)));
}

}  // namespace covey
