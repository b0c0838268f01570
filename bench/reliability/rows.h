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
