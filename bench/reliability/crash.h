// The crash harness (tests/crash) as the rows of figures run it.
#pragma once
#include <map>
#include <string>

#include "bench/shell.h"

namespace covey::bench {

struct CrashRun {
  Ran ran;
  double seconds = 0;
  std::map<std::string, double> figures;  // its lines "figure NAME VALUE"

  double figure(const std::string& name) const;  // 0 where it has none
  bool complete() const { return figures.contains("failed") || figures.contains("caught"); }
  std::string why() const;                       // it told no figures
};

enum class Files { kMemory, kDisk };  // a memory file system where there is one, or the disk of the build

CrashRun run_crash(const std::string& arguments, Files files);

}  // namespace covey::bench
