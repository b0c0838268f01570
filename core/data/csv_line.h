// Fields of one line of comma-separated values (RFC 4180, less line breaks inside quotes).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

// Spaces and tabs around a field are dropped; "a ""b"", c" in quotes is one field: a "b", c.
// Errors: kInvalidData for a quote that is not closed or is followed by text.
Result<std::vector<std::string>> csv_fields(std::string_view line);

}  // namespace covey
