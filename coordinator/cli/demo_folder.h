// The folder that a demonstration may empty: its own.
#pragma once
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace covey::cli {

// An empty `folder`, marked as a demonstration's. Wipes what an earlier one left there, and nothing
// else. Errors: kAlreadyExists when it holds something without that mark.
Result<void> fresh_demo_folder(const std::string& folder);

// `text` with `indent` after every line break.
std::string indented(std::string_view text, std::string_view indent);

}  // namespace covey::cli
