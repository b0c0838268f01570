// Secrets stay in this process: no core dump, no other process of this user looks into it, and nothing
// of them in the list of processes.
#pragma once
#include <string_view>

#include "core/base/result.h"

namespace covey {

// RLIMIT_CORE 0 for good (hard limit too), and PR_SET_DUMPABLE 0: no core files, no core handed to a
// handler, no ptrace by the same user. To be called first of all. Errors: kInternal.
Result<void> forbid_core_dumps();

// Overwrites the value of `flag` ("--token VALUE", "--token=VALUE") in the process's arguments, which
// every user of the machine can read, with 'x'. A value that begins with '@' names a file and stays.
// Whoever looked before this call has seen it: documented at the flag.
void hide_argument(int argc, char** argv, std::string_view flag);

}  // namespace covey
