// Row 18: a backup taken in the middle of a round, restored; a stale store in its place.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> backup_restore() {
  const TestFigures test = run_test("storage_system_test", "backup: restored equal*");
  const std::string beside = test.text("backup_s") + " s to save " + test.text("backup_bytes") + " bytes, " + test.text("restore_s") + " s to restore";
  return {test.row("restore_equal", exactly("row 18: restored state equal to the saved", 0, "of 1", 1, beside)),
          test.row("stale_refused", exactly("row 18: stale store and older backup refused", 0, "of 1", 1))};
}

}  // namespace covey::bench
