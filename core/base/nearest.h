// What a mistyped name was meant to be.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace covey {

// The closest of `known` by edit distance, if any is near enough to be what was meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace covey
