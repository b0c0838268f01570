#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"audit record", chain_cost},
              {"row 5", net_many_clients},
              {"row 6", net_reconnect_storm},
          }};
}

}  // namespace covey::bench
