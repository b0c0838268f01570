#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"audit record", chain_cost},
              {"row 12", fuzzers},
              {"rows 13, 14", sanitizers},
              {"row 32", supply_chain},
          }};
}

}  // namespace covey::bench
