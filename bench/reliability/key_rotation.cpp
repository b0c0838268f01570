// Row 28: the key of a coordinator is changed under a job of three clients; real processes.
#include "bench/reliability/from_test.h"
#include "bench/reliability/rows.h"

namespace covey::bench {

std::vector<Figure> key_rotation() {
  const TestFigures test = run_test("key_rotation_test", "key rotation: live*");
  const std::string beside = test.text("rotation_rounds") + " rounds of three clients, " + test.text("rotation_rounds_after") +
                             " of them after the change; overlap 12 s";
  return {test.row("rotation_failed_rounds", exactly("row 28: rounds that fail while the key is rotated", 0, "rounds", 0, beside)),
          test.row("rotation_lost_updates", exactly("row 28: updates lost while the key is rotated", 0, "updates", 0, beside)),
          test.row("rotation_old_key_let_in", exactly("row 28: handshakes with the old key after the overlap", 0, "handshakes", 0,
                                                      "two tried: at its old ports and at those of the new key"))};
}

}  // namespace covey::bench
