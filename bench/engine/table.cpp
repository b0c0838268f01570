#include <time.h>

#include <algorithm>
#include <utility>

#include "bench/engine/rows.h"
#include "bench/tables.h"

namespace covey::bench {
namespace {

double milliseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

}  // namespace

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

double wall_ms() { return milliseconds(CLOCK_MONOTONIC); }
double cpu_ms() { return milliseconds(CLOCK_THREAD_CPUTIME_ID); }
double all_cpu_ms() { return milliseconds(CLOCK_PROCESS_CPUTIME_ID); }

Table engine_table() {
  Table table{"engine", {{"products", engine_products}, {"adamw", engine_adamw}}};
  for (Row& row : engine_steps()) table.rows.push_back(std::move(row));
  table.rows.push_back({"per-example clipping", engine_clipping});
  return table;
}

}  // namespace covey::bench
