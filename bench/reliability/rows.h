// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
std::vector<Figure> crash_kills();   // row 1
std::vector<Figure> crash_mutants(); // row 2
std::vector<Figure> crash_phases();  // row 4
std::vector<Figure> crash_replays(); // row 21
std::vector<Figure> crash_changed(); // row 22
std::vector<Figure> sim_seeds();     // row 3
std::vector<Figure> clock_jumps();   // row 20
std::vector<Figure> check_cost();    // row 23
std::vector<Figure> poisoned();      // row 24
std::vector<Figure> fuzzers();       // row 12
std::vector<Figure> sanitizers();    // rows 13, 14
std::vector<Figure> mark_cost();     // what the ledger mark adds to a write
std::vector<Figure> disk_full();     // row 15
std::vector<Figure> corruption();    // row 16
std::vector<Figure> recovery();      // row 17
std::vector<Figure> backup_restore();  // row 18
std::vector<Figure> secrets();       // row 30
std::vector<Figure> supply_chain();  // row 32
std::vector<Figure> net_many_clients();     // row 5
std::vector<Figure> net_reconnect_storm();  // row 6
std::vector<Figure> net_flood();            // row 7
std::vector<Figure> net_slow_loris();       // row 8
std::vector<Figure> net_giant_frames();     // row 9
std::vector<Figure> net_file_exhaustion();  // row 10
std::vector<Figure> net_malformed();        // row 11
std::vector<Figure> net_partition();        // row 19
std::vector<Figure> net_revocation();       // row 25
std::vector<Figure> net_downgrade();        // row 26
std::vector<Figure> net_hijack();           // row 27
std::vector<Figure> net_stopped_reader();   // row 29

std::vector<Figure> ingest_updates();        // 64 updates of 10M f32: rate and memory
std::vector<Figure> ingest_models_scaled();  // 6 clients, ten rounds, a tenth of GPT-2 Large
std::vector<Figure> ingest_models_large();   // one round of the whole

std::vector<Figure> chaos();         // the demo, killed at random
std::vector<Figure> key_rotation();  // row 28
std::vector<Figure> soak();          // row 31

}  // namespace covey::bench
