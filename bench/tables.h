// Every table that `covey-figures` prints. To add a row: one function in the table's folder, one line
// in its table.cpp.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

Table engine_table();
Table reliability_table();
Table secagg_table();

}  // namespace covey::bench
