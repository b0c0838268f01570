#include "bench/reliability/crash.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace covey::bench {

double CrashRun::figure(const std::string& name) const {
  const auto found = figures.find(name);
  return found == figures.end() ? 0 : found->second;
}

std::string CrashRun::why() const {
  const std::size_t kept = 300;
  const std::string& text = ran.output;
  return "covey-crash ended with " + std::to_string(ran.code) + ": " + text.substr(text.size() - std::min(text.size(), kept));
}

CrashRun run_crash(const std::string& arguments, Files files) {
  const std::filesystem::path memory = "/dev/shm";
  std::error_code ignored;
  const bool in_memory = files == Files::kMemory && std::filesystem::is_directory(memory, ignored);
  const std::filesystem::path folder = (in_memory ? memory : std::filesystem::path(COVEY_BINARY_DIR)) / ("covey-crash-" + std::to_string(::getpid()));
  const auto begin = std::chrono::steady_clock::now();
  CrashRun run;
  run.ran = bench::run(std::string(COVEY_BINARY_DIR) + "/bin/covey-crash " + arguments + " --folder " + folder.string() + " 2>&1");
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::filesystem::remove_all(folder, ignored);
  std::istringstream lines(run.ran.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string mark, name;
    double value = 0;
    if (words >> mark >> name >> value && mark == "figure") run.figures[name] = value;
  }
  return run;
}

}  // namespace covey::bench
