// Fault points cost the product nothing: what is linked into it knows none of their names.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "core/base/fault_point.h"

namespace covey {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Immediate functions run while compiling, or not at all.
constexpr bool is_free() {
  fault_point("anywhere");
  return true;
}
static_assert(is_free());

constexpr const char* kTraces[] = {"fault_point", "store.write.built", "blob.finish.renamed", "executor.persist.written",
                                   "aggregate.manifest.put", "unmask.recovered", "mask.vector.written"};

}  // namespace

TEST_CASE("fault points: the harness has them, so that their absence elsewhere says something") {
  const std::string harness = content_of(COVEY_CRASH);
  for (const char* trace : kTraces) CHECK_MESSAGE(harness.find(trace) != std::string::npos, trace);
}

TEST_CASE("fault points: nothing of them is in the product's archives, no call, no symbol, no name") {
  std::istringstream archives(COVEY_SOUND_ARCHIVES);
  std::size_t read = 0;
  for (std::string path; std::getline(archives, path, '|'); ++read) {
    const std::string archive = content_of(path);
    REQUIRE(archive.size() > 1000);
    for (const char* trace : kTraces) CHECK_MESSAGE(archive.find(trace) == std::string::npos, path << " holds " << trace);
  }
  CHECK(read == 5);
}

}  // namespace covey
