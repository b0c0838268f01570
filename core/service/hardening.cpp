#include "core/service/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace covey {
namespace {

// Through a volatile pointer: nobody reads these bytes again, and the compiler must not know it.
void blacken(char* text) {
  if (*text == '@') return;
  for (volatile char* c = text; *c != '\0'; ++c) *c = 'x';
}

}  // namespace

Result<void> forbid_core_dumps() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return unexpected(ErrorCode::kInternal, std::string("cannot forbid core dumps: ") + std::strerror(errno));
  return {};
}

void hide_argument(int argc, char** argv, std::string_view flag) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == flag && i + 1 < argc) blacken(argv[i + 1]);
    if (argument.size() > flag.size() && argument.starts_with(flag) && argument[flag.size()] == '=')
      blacken(argv[i] + flag.size() + 1);
  }
}

}  // namespace covey
