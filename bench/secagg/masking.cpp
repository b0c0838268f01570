#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "bench/secagg/rows.h"
#include "bench/shell.h"
#include "privacy/masking.h"

namespace covey::bench {
namespace {

constexpr std::size_t kValues = 10'000'000;
constexpr std::size_t kNeighbours = 100;
constexpr int kRuns = 5;

std::vector<MaskTerm> terms_for(std::size_t count) {
  SystemRandom random;
  std::vector<MaskTerm> terms;
  for (std::size_t i = 0; i < count; ++i) terms.push_back({Secret<32>::random(random), i % 2 == 0 ? Sign::kPlus : Sign::kMinus});
  return terms;
}

std::string text(double value, const char* unit) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.3f %s", value, unit);
  return buffer;
}

// Cipher and masking in turn, so that whatever else the machine does disturbs both.
Figure against_cipher(const std::string& name, std::size_t threads, double& seconds) {
  const Ring ring = *Ring::of_width(32);
  const auto terms = terms_for(kNeighbours + 1);  // and the own mask
  std::vector<std::uint64_t> update(ring.words(kValues), 1);
  WorkerPool pool(threads);
  std::vector<double> ratios, cipher, masking;
  for (int run = 0; run < kRuns; ++run) {
    cipher.push_back(cipher_seconds({update.size(), terms.size(), threads}));
    masking.push_back(seconds_of([&] { apply_masks({update, 0}, terms, ring, PrgCipher::kAes256Ctr, pool); }));
    ratios.push_back(masking.back() / cipher.back());
  }
  seconds = median(masking);
  return at_most(name, median(ratios), "times", 1.15,
                 "masking " + text(seconds, "s") + ", cipher alone " + text(median(cipher), "s") + ", " +
                     std::to_string(threads) + " threads");
}

Figure against_flower(double ours) {
  const std::string name = "client masking: Flower's SecAgg+ on the same vector";
  const char* python = std::getenv("COVEY_PEERS_PYTHON");
  const Ran ran = run(std::string(python != nullptr ? python : "python3") + " " COVEY_SOURCE_DIR "/bench/peers/flower_secagg.py " +
                      std::to_string(kValues) + " " + std::to_string(kNeighbours) + " 2>/dev/null");
  double theirs = 0;
  std::istringstream in(ran.output);
  std::string version;
  if (ran.code != 0 || !(in >> theirs >> version) || theirs <= 0)
    return not_measured(name, "times", Bound::kAtLeast, 20,
                        "python with flwr is missing (pip install flwr; COVEY_PEERS_PYTHON names the interpreter)");
  return at_least(name, theirs / ours, "times", 20, "flwr " + version + " " + text(theirs, "s") + ", ours on one core " + text(ours, "s"));
}

long kilobytes(const char* field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.rfind(field, 0) == 0) return std::atol(line.c_str() + std::string(field).size());
  return -1;
}

}  // namespace

std::vector<Figure> secagg_masking() {
  double one = 0, all = 0;
  std::vector<Figure> figures;
  figures.push_back(against_cipher("client masking: 10M x 100, b=32, one core", 1, one));
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  figures.push_back(against_cipher("client masking: 10M x 100, b=32, all cores", cores, all));
  figures.push_back(against_flower(one));
  return figures;
}

std::vector<Figure> secagg_memory() {
  const std::string name = "masking memory: beside the update, all cores";
  const Ring ring = *Ring::of_width(32);
  const auto terms = terms_for(kNeighbours + 1);
  std::vector<std::uint64_t> update(ring.words(kValues), 1);
  WorkerPool pool(std::max(1U, std::thread::hardware_concurrency()));
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark starts here
  const long before = kilobytes("VmRSS:");
  apply_masks({update, 0}, terms, ring, PrgCipher::kAes256Ctr, pool);
  const long peak = kilobytes("VmHWM:");
  if (before < 0 || peak < 0) return {not_measured(name, "MiB", Bound::kAtMost, 4, "/proc/self/status cannot be read")};
  return {at_most(name, static_cast<double>(peak - before) / 1024, "MiB", 4,
                  "update " + text(static_cast<double>(update.size()) * 8 / 1048576, "MiB") + ", resident before " +
                      text(static_cast<double>(before) / 1024, "MiB"))};
}

}  // namespace covey::bench
