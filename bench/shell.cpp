#include "bench/shell.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace covey::bench {

Ran run(const std::string& command) {
  Ran ran;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 4096> part{};
  while (const std::size_t count = std::fread(part.data(), 1, part.size(), pipe))
    for (std::size_t i = 0; i < count; ++i) ran.output += part[i];
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
  return ran;
}

bool slow_rows() {
  const char* const asked = std::getenv("COVEY_FIGURES_SLOW");
  return asked != nullptr && std::string_view(asked) != "" && std::string_view(asked) != "0";
}

}  // namespace covey::bench
