#include "core/protocol/quota.h"

#include <array>
#include <charconv>
#include <limits>

#include "core/protocol/exchanged.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

struct Unit {
  std::string_view name;
  unsigned shift;  // of two
};
constexpr auto kUnits = std::to_array<Unit>({{"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}});

}  // namespace

Result<std::uint64_t> size_from(std::string_view text) {
  const auto bad = [&] {
    return unexpected(ErrorCode::kInvalidArgument,
                      "= " + setting_text(text) + ": must be a whole number and a unit of B, KiB, MiB, GiB, TiB, as \"4 GiB\"");
  };
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{}) return bad();
  std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  if (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() >> unit.shift) return bad();
    return number << unit.shift;
  }
  return bad();
}

std::string size_text(std::uint64_t bytes) {
  Unit best = kUnits.front();
  for (const Unit& unit : kUnits)
    if (bytes != 0 && bytes % (std::uint64_t{1} << unit.shift) == 0) best = unit;
  return std::to_string(bytes >> best.shift) + " " + std::string(best.name);
}

// Masked: words of 64 bits hold whole elements of the ring, and a few more words the figures.
std::uint64_t update_bytes_of(const JobSpec& spec) {
  const std::uint64_t parameters = exchanged_size(spec);
  if (!spec.privacy.secure_aggregation) return parameters * sizeof(float);
  const std::uint64_t lanes = 64 / spec.privacy.ring_bits;
  return ((parameters + lanes - 1) / lanes + kSecureFigures) * sizeof(std::uint64_t);
}

std::uint64_t updates_held_min(const JobSpec& spec) {
  return spec.durability == Durability::kUpdate ? spec.selection.min_clients : 1;
}

Result<void> check_quota(const JobSpec& spec) {
  const QuotaSpec& quota = spec.quota;
  if (quota.nodes_max != 0 && quota.nodes_max < spec.selection.min_clients)
    return bad_setting("quota.nodes_max", std::to_string(quota.nodes_max),
                       "must be at least selection.min_clients = " + std::to_string(spec.selection.min_clients) +
                           "; raise it, or lower min_clients");
  if (quota.update_bytes_max == 0) return {};
  if (quota.update_bytes_max > kQuotaBytesMax)
    return bad_setting("quota.update_bytes_max", setting_text(size_text(quota.update_bytes_max)),
                       "must be at most " + setting_text(size_text(kQuotaBytesMax)));
  const std::uint64_t each = update_bytes_of(spec), held = updates_held_min(spec);
  if (quota.update_bytes_max / held >= each) return {};
  return bad_setting("quota.update_bytes_max", setting_text(size_text(quota.update_bytes_max)),
                     spec.durability == Durability::kUpdate
                         ? "selection.min_clients = " + std::to_string(held) + " updates of " + std::to_string(each) +
                               " bytes are kept until their round commits; use at least " + setting_text(size_text(each * held)) +
                               ", fewer clients, or durability = \"attempt\""
                         : "one update has " + std::to_string(each) + " bytes; use at least " + setting_text(size_text(each)));
}

}  // namespace covey
