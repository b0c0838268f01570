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
              {"ingest updates", ingest_updates},
              {"ingest models", ingest_models_scaled},
              {"ingest large models", ingest_models_large},
          }};
}

}  // namespace covey::bench
