// Row 30: every key and token of a federation, in seven forms, looked for in all that it leaves behind.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> secrets() {
  const TestFigures test = run_test("storage_system_test", "secrets*");
  return {test.row("secret_hits", exactly("row 30: secrets in logs, journal, store, backup, arguments", 0, "hits", 0,
                                          test.text("secret_needles") + " canaries in " + test.text("secret_bytes_searched") + " bytes")),
          test.row("core_files", exactly("row 30: core files of aborted daemons", 0, "files", 0))};
}

}  // namespace covey::bench
