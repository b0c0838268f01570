// Row 16: flips and truncations in the write-ahead log, tables, manifest, CURRENT and blobs.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> corruption() {
  const TestFigures test = run_test("storage_system_test", "corruption*");
  const std::string beside = "start refused " + test.text("corruption_refused") + ", whole " + test.text("corruption_whole") +
                             ", told when read " + test.text("corruption_told_when_read") + ", other rows lost " +
                             test.text("corruption_other_rows_lost") + "; without the ledger mark " +
                             test.text("corruption_silent_without_mark") + " of " +
                             test.text("corruption_truncations_without_mark") + " truncations of the log are silent";
  return {test.row("corruption_cases", at_least("row 16: flips and truncations tried", 0, "cases", 300)),
          test.row("corruption_silent", exactly("row 16: silent losses of ledger or model rows", 0, "cases", 0, beside))};
}

}  // namespace covey::bench
