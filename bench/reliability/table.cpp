#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"audit record", chain_cost},
              {"row 3", sim_seeds},
              {"row 12", fuzzers},
              {"rows 13, 14", sanitizers},
              {"row 20", clock_jumps},
              {"row 23", check_cost},
              {"row 24", poisoned},
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
