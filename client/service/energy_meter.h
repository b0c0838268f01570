// What this machine's processors take, from the counters that Linux keeps of them (powercap, Intel's and
// AMD's RAPL). They count whole packages, whatever runs there.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace covey {

class EnergyMeter {
 public:
  // Begins to count where the counters can be read.
  explicit EnergyMeter(const std::string& folder = "/sys/class/powercap");
  // To be called at least once in a few minutes, in which a counter may begin anew once.
  void sample();
  std::optional<double> joules() const;  // since the beginning, as of the latest sample; nothing: not measured
  const std::string& why_not() const { return why_not_; }  // empty: measured

 private:
  struct Package {
    std::string file;
    std::uint64_t last = 0, range = 0;  // microjoules
  };
  void find(const std::string& folder);
  void fail(std::string why);

  std::vector<Package> packages_;
  std::string why_not_;
  double joules_ = 0;
};

}  // namespace covey
