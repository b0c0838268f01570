#include "client/service/energy_meter.h"

#include <doctest/doctest.h>

#include "tests/core/base/temporary_folder.h"

using namespace covey;

namespace {

void write_package(const TemporaryFolder& folder, const std::string& name, const std::string& microjoules) {
  folder.write(name + "/energy_uj", microjoules + "\n");
  folder.write(name + "/max_energy_range_uj", "1000000000\n");
}

}  // namespace

TEST_CASE("energy: packages add up, parts of them do not, and a counter may begin anew") {
  TemporaryFolder folder;
  write_package(folder, "intel-rapl:0", "5000000");
  write_package(folder, "intel-rapl:1", "999000000");
  write_package(folder, "intel-rapl:0:0", "1000000");
  write_package(folder, "intel-rapl-mmio:0", "1000000");
  EnergyMeter meter(folder.path());
  CHECK(meter.why_not().empty());
  CHECK(*meter.joules() == 0);
  write_package(folder, "intel-rapl:0", "7500000");
  write_package(folder, "intel-rapl:0:0", "99000000");
  write_package(folder, "intel-rapl-mmio:0", "99000000");
  meter.sample();
  CHECK(*meter.joules() == doctest::Approx(2.5));
  write_package(folder, "intel-rapl:1", "2000000");  // 1 J to the end of the range and 2 J on
  meter.sample();
  CHECK(*meter.joules() == doctest::Approx(5.5));
}

TEST_CASE("energy: what cannot be read is named") {
  TemporaryFolder folder;
  CHECK(EnergyMeter(folder / "none").why_not().find("none: No such file") != std::string::npos);
  CHECK(EnergyMeter(folder.path()).why_not().find("has no intel-rapl") != std::string::npos);
  write_package(folder, "intel-rapl:0", "words");
  const EnergyMeter words(folder.path());
  CHECK(words.why_not().find("intel-rapl:0/energy_uj: holds no number") != std::string::npos);
  CHECK_FALSE(words.joules());
  write_package(folder, "intel-rapl:0", "1");
  EnergyMeter meter(folder.path());
  std::filesystem::remove(folder / "intel-rapl:0/energy_uj");
  meter.sample();
  CHECK_FALSE(meter.joules());
  CHECK(meter.why_not().find("No such file") != std::string::npos);
}
