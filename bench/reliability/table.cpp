#include "bench/reliability/rows.h"
#include "bench/tables.h"

namespace covey::bench {

Table reliability_table() {
  return {"reliability",
          {
              {"row 1", crash_kills},
              {"row 2", crash_mutants},
              {"row 3", sim_seeds},
              {"row 4", crash_phases},
              {"row 5", net_many_clients},
              {"row 6", net_reconnect_storm},
              {"row 7", net_flood},
              {"row 8", net_slow_loris},
              {"row 9", net_giant_frames},
              {"row 10", net_file_exhaustion},
              {"row 11", net_malformed},
              {"row 12", fuzzers},
              {"rows 13, 14", sanitizers},
              {"row 15", disk_full},
              {"row 16", corruption},
              {"row 17", recovery},
              {"row 18", backup_restore},
              {"row 19", net_partition},
              {"row 20", clock_jumps},
              {"row 21", crash_replays},
              {"row 22", crash_changed},
              {"row 23", check_cost},
              {"row 24", poisoned},
              {"row 25", net_revocation},
              {"row 26", net_downgrade},
              {"row 27", net_hijack},
              {"row 28", key_rotation},
              {"row 29", net_stopped_reader},
              {"row 30", secrets},
              {"row 31", soak},
              {"row 32", supply_chain},
              {"demo under chaos", chaos},
              {"audit record", chain_cost},
              {"ledger mark", mark_cost},
              {"ingest updates", ingest_updates},
              {"ingest models", ingest_models_scaled},
              {"ingest large models", ingest_models_large},
          }};
}

}  // namespace covey::bench
