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
          }};
}

}  // namespace covey::bench
