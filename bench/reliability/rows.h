// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
std::vector<Figure> fuzzers();       // row 12
std::vector<Figure> sanitizers();    // rows 13, 14
std::vector<Figure> supply_chain();  // row 32

}  // namespace covey::bench
