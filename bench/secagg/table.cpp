#include "bench/secagg/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table secagg_table() {
  return {"secagg",
          {
              {"masking memory", secagg_memory},  // first: in a process that has not masked yet
              {"client masking", secagg_masking},
              {"server unmask", secagg_unmask},
              {"cohort", secagg_cohort},
          }};
}

}  // namespace covey::bench
