#include "bench/shell.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>

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

}  // namespace covey::bench
