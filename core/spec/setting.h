// Words for errors about settings: every one names the setting as in job.toml, its value, the
// bound and the remedy. For the .cpp files of this room and others that validate settings.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace covey {

std::string setting_text(double value);  // shortest text that reads back as the same number
// In quotes, at most 64 bytes of it, bytes outside printable ASCII replaced by '?'.
std::string setting_text(std::string_view value);

// kInvalidArgument: "<name> = <value>: <rule>"
Unexpected bad_setting(std::string_view name, std::string_view value_text, std::string_view rule);

// Inclusive bounds; "must lie in [low, high]; try <nearest>".
Result<void> setting_within(std::string_view name, std::uint64_t value, std::uint64_t low,
                            std::uint64_t high);
// Inclusive bounds; NaN and infinities are outside.
Result<void> setting_within(std::string_view name, double value, double low, double high);

}  // namespace covey
