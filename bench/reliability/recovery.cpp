// Row 17: kill -9 with a write-ahead log of 256 MiB, until an operator is answered.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> recovery() {
  const TestFigures test = run_test("storage_system_test", "recovery*");
  return {test.row("recovery_s", at_most("row 17: recovery after kill -9, until answered", 0, "s", 4,
                                         test.text("recovery_cpu_s") + " s of one core; " + test.text("recovery_log_mib") + " MiB of log; RocksDB alone with its defaults " +
                                             test.text("recovery_plain_s") + " s"))};
}

}  // namespace covey::bench
