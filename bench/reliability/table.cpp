#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"audit record", chain_cost},
              {"row 5", net_many_clients},
              {"row 6", net_reconnect_storm},
              {"row 7", net_flood},
              {"row 8", net_slow_loris},
              {"row 9", net_giant_frames},
              {"row 10", net_file_exhaustion},
              {"row 11", net_malformed},
              {"row 19", net_partition},
              {"row 25", net_revocation},
              {"row 26", net_downgrade},
              {"row 27", net_hijack},
              {"row 29", net_stopped_reader},
              {"row 12", fuzzers},
              {"rows 13, 14", sanitizers},
              {"row 32", supply_chain},
          }};
}

}  // namespace covey::bench
