#include "bench/secagg/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table secagg_table() {
  return {"secagg",
          {
              {"client masking", secagg_masking},
              {"masking memory", secagg_memory},
              {"server unmask", secagg_unmask},
              {"cohort", secagg_cohort},
          }};
}

}  // namespace covey::bench
