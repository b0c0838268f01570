// Row 15: a real file system of 64 MiB that is full at five moments of a job.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> disk_full() {
  const TestFigures test = run_test("system_test", "disk: a full file system*");
  const std::string beside = test.text("disk_full_acknowledged") + " updates acknowledged over " + test.text("disk_full_ends") + " full disks";
  return {test.row("disk_full_lost", exactly("row 15: disk full, acknowledged updates lost", 0, "updates", 0, beside)),
          test.row("disk_full_serving_s", at_most("row 15: disk full, serving after space and restart", 0, "s", 5, beside))};
}

}  // namespace covey::bench
