// The rows of the reliability table, each in its own file beside this one.
#pragma once
#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> chain_cost();  // what an audit record costs a coordinator
std::vector<Figure> fuzzers();       // row 12
std::vector<Figure> sanitizers();    // rows 13, 14
std::vector<Figure> supply_chain();  // row 32

std::vector<Figure> ingest_updates();        // 64 updates of 10M f32: rate and memory
std::vector<Figure> ingest_models_scaled();  // 6 clients, ten rounds, a tenth of GPT-2 Large
std::vector<Figure> ingest_models_large();   // one round of the whole

}  // namespace covey::bench
