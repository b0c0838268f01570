// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
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
std::vector<Figure> fuzzers();       // row 12
std::vector<Figure> sanitizers();    // rows 13, 14
std::vector<Figure> supply_chain();  // row 32

}  // namespace covey::bench
