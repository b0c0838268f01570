// The rows of the engine table, each in its own file beside this one, and what they share.
#pragma once
#include <vector>

#include "bench/figure.h"

namespace covey::bench {

std::vector<Figure> engine_products();   // matrix products of a step, against the vector units' peak
std::vector<Figure> engine_adamw();      // one step of AdamW against the memory's triad
std::vector<Row> engine_steps();         // training steps, in turn with PyTorch's: a row for each model
std::vector<Figure> engine_clipping();   // steps with each example's gradient clipped, in turn with plain ones

double median_of(std::vector<double> values);
double wall_ms();  // of a steady clock
double cpu_ms();   // of this thread
double all_cpu_ms();  // of all threads of this process

}  // namespace covey::bench
