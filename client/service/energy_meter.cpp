#include "client/service/energy_meter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace covey {
namespace {

// "intel-rapl:0" is a package; "intel-rapl:0:1" a part of one, "intel-rapl-mmio:0" the same counters again.
bool is_package(const std::string& name) {
  constexpr std::string_view kHead = "intel-rapl:";
  return name.starts_with(kHead) && name.find(':', kHead.size()) == std::string::npos;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

std::string no_number(const std::string& path) {
  return path + ": " + (errno != 0 ? std::strerror(errno) : "holds no number");
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& folder) { find(folder); }

void EnergyMeter::find(const std::string& folder) {
  std::error_code code;
  std::vector<std::string> found;
  for (std::filesystem::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
    if (is_package(at->path().filename().string())) found.push_back(at->path().string());
  std::sort(found.begin(), found.end());
  if (found.empty()) return fail(folder + (code ? ": " + code.message() : " has no intel-rapl: this processor or its host does not tell"));
  for (const std::string& package : found) {
    const auto now = number_in(package + "/energy_uj");
    if (!now) return fail(no_number(package + "/energy_uj"));
    const auto range = number_in(package + "/max_energy_range_uj");
    if (!range) return fail(no_number(package + "/max_energy_range_uj"));
    packages_.push_back({package + "/energy_uj", *now, *range});
  }
}

void EnergyMeter::fail(std::string why) {
  packages_.clear();
  why_not_ = std::move(why);
}

void EnergyMeter::sample() {
  for (Package& package : packages_) {
    const auto now = number_in(package.file);
    if (!now) return fail(no_number(package.file));
    const std::uint64_t more = *now >= package.last ? *now - package.last : package.range - package.last + *now;
    joules_ += 1e-6 * static_cast<double>(more);
    package.last = *now;
  }
}

std::optional<double> EnergyMeter::joules() const {
  return why_not_.empty() ? std::optional(joules_) : std::nullopt;
}

}  // namespace covey
