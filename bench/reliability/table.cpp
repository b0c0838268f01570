#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"audit record", chain_cost},
              {"row 1", crash_kills},
              {"row 2", crash_mutants},
              {"row 4", crash_phases},
              {"row 21", crash_replays},
              {"row 22", crash_changed},
              {"row 12", fuzzers},
              {"rows 13, 14", sanitizers},
              {"row 32", supply_chain},
              {"row 5", net_many_clients},
              {"row 6", net_reconnect_storm},
              {"row 7", net_flood},
              {"row 8", net_slow_loris},
              {"row 9", net_giant_frames},
              {"row 10", net_file_exhaustion},
          }};
}

}  // namespace covey::bench
