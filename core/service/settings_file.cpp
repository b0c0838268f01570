#include "core/service/settings_file.h"

#include "core/base/nearest.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::string_view kUnknown = "INI was not able to parse ";  // CLI11, of a name that it does not know

}  // namespace

Error settings_error(const std::string& path, std::string_view what, const std::vector<std::string>& known) {
  const std::string rule = "; its settings are named as the flags are, without dashes in front (--help)";
  if (!what.starts_with(kUnknown)) return {ErrorCode::kInvalidArgument, path + ": " + std::string(what) + rule};
  const std::string_view name = what.substr(kUnknown.size());
  const auto meant = nearest(name, known);
  return {ErrorCode::kInvalidArgument,
          path + ": there is no setting " + setting_text(name) + (meant ? "; did you mean " + *meant + "?" : rule)};
}

}  // namespace covey
