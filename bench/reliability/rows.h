// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
std::vector<Figure> net_many_clients();     // row 5
std::vector<Figure> net_reconnect_storm();  // row 6

}  // namespace covey::bench
