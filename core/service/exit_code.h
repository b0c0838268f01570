// Exit codes of every Covey program; printed by --help and listed in docs/commands.md.
#pragma once
#include "core/base/result.h"

namespace covey {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,        // the job failed, or an internal error
  kExitUsage = 2,         // a flag, a setting, a file that is wrong
  kExitUnavailable = 3,   // nothing answers, a port is taken, try again
  kExitUnsupported = 4,   // known but not built
  kExitRefused = 5,       // unknown key, wrong role, revoked, spent token
  kExitNoSpace = 6,       // disk full
  kExitCorrupted = 7,     // durable state does not verify
  kExitInterrupted = 130, // Ctrl-C
};

int exit_code_of(ErrorCode code);
// For --help's footer.
const char* exit_code_help();

}  // namespace covey
