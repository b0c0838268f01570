#include "client/service/site_policy.h"

#include <cmath>

#include "core/service/text_file.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::size_t kPinnedBytesMax = std::size_t{8} << 20U;  // above kSecAggMembersMax lines of a key and a remark
constexpr std::uint32_t kSigmaMax = 128;
constexpr double kDropoutMax = 0.3;
constexpr double kGammaMax = 0.33;  // no graph serves more

Result<void> within(const char* setting, std::uint32_t value, std::uint32_t least, std::uint32_t most) {
  if (value >= least && value <= most) return {};
  return unexpected(ErrorCode::kInvalidArgument, std::string(setting) + " = " + std::to_string(value) + ": must lie in [" +
                                                     std::to_string(least) + ", " + std::to_string(most) + "]");
}

std::string_view trimmed(std::string_view text) {
  text = text.substr(0, text.find('#'));
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

Result<std::vector<VerifyKey>> read_pinned_keys(const std::string& path) {
  COVEY_TRY(const Bytes content, read_file(path, kPinnedBytesMax));
  std::string_view rest = text_of(content);
  std::vector<VerifyKey> keys;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = trimmed(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (line.empty()) continue;
    const auto key = fixed_from_hex<VerifyKey>(line);
    if (!key)
      return unexpected(ErrorCode::kInvalidArgument,
                        path + ", line " + std::to_string(number) + ": " + setting_text(std::string(line.substr(0, 80))) +
                            " is no signing key; give 64 hex digits a line, as `signing` in `covey nodes --json`");
    keys.push_back(*key);
  }
  if (!keys.empty()) return keys;
  return unexpected(ErrorCode::kInvalidArgument,
                    path + " names no key, and this site would aggregate with nobody; leave pinned-keys out to "
                           "aggregate with whomever the authority vouches for");
}

Result<ClientPolicy> secure_policy_of(const SecureFloors& floors, const VerifyKey& authority) {
  const ClientPolicy least;
  const std::uint32_t most = kSecAggMembersMax;
  COVEY_TRY_VOID(within("members-min", floors.members_min, least.members_min, most));
  COVEY_TRY_VOID(within("survivors-min", floors.survivors_min, least.survivors_min, most));
  COVEY_TRY_VOID(within("honest-min", floors.honest_min, least.honest_min, most));
  COVEY_TRY_VOID(within("corrupt-min", floors.corrupt_min, least.corrupt_min, most));
  COVEY_TRY_VOID(within("sigma-min", floors.sigma_min, least.sigma_min, kSigmaMax));
  if (!(floors.dropout_max >= 0 && floors.dropout_max <= kDropoutMax))
    return unexpected(ErrorCode::kInvalidArgument,
                      "dropout-max = " + std::to_string(floors.dropout_max) + ": must lie in [0, 0.3]");
  if (!(floors.gamma_min >= 0 && floors.gamma_min <= kGammaMax))
    return unexpected(ErrorCode::kInvalidArgument, "gamma-min = " + std::to_string(floors.gamma_min) + ": must lie in [0, 0.33]");
  ClientPolicy policy;
  policy.authority = authority;
  policy.epoch_min = kCredentialEpochFirst;
  policy.members_min = floors.members_min;
  policy.survivors_min = floors.survivors_min;
  policy.honest_min = floors.honest_min;
  policy.corrupt_min = floors.corrupt_min;
  policy.sigma_min = floors.sigma_min;
  policy.gamma_min_millionths = static_cast<std::uint32_t>(std::lround(floors.gamma_min * kMillionths));
  policy.dropout_max_millionths = static_cast<std::uint32_t>(std::lround(floors.dropout_max * kMillionths));
  if (!floors.pinned_file.empty()) {
    COVEY_TRY(policy.pinned, read_pinned_keys(floors.pinned_file));
  }
  return policy;
}

}  // namespace covey
