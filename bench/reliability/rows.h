// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
std::vector<Figure> sim_seeds();     // row 3
std::vector<Figure> clock_jumps();   // row 20
std::vector<Figure> check_cost();    // row 23
std::vector<Figure> poisoned();      // row 24
std::vector<Figure> fuzzers();       // row 12
std::vector<Figure> sanitizers();    // rows 13, 14
std::vector<Figure> supply_chain();  // row 32
std::vector<Figure> net_many_clients();     // row 5
std::vector<Figure> net_reconnect_storm();  // row 6
std::vector<Figure> net_flood();            // row 7
std::vector<Figure> net_slow_loris();       // row 8
std::vector<Figure> net_giant_frames();     // row 9
std::vector<Figure> net_file_exhaustion();  // row 10

}  // namespace covey::bench
