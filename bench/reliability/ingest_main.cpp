// covey-ingest NUMBERS: one ingest, measured; started by covey-figures (ingest_run.cpp).
#include <cstdio>

#include "bench/reliability/ingest_bed.h"

int main(int argc, char** argv) {
  std::string line;
  for (int i = 1; i < argc; ++i) line += std::string(i > 1 ? " " : "") + argv[i];
  const auto plan = covey::bench::plan_of(line);
  if (!plan) {
    std::fprintf(stderr, "covey-ingest: is started by covey-figures, not '%s'\n", line.c_str());
    return 2;
  }
  std::fputs(covey::bench::text_of(covey::bench::ingest_here(*plan)).c_str(), stdout);
  return 0;
}
