#include "core/service/exit_code.h"

namespace covey {

int exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kInvalidData:
    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists: return kExitUsage;
    case ErrorCode::kPermissionDenied: return kExitRefused;
    case ErrorCode::kUnavailable: return kExitUnavailable;
    case ErrorCode::kDiskFull:
    case ErrorCode::kResourceExhausted: return kExitNoSpace;
    case ErrorCode::kCorrupted: return kExitCorrupted;
    case ErrorCode::kUnsupported: return kExitUnsupported;
    case ErrorCode::kInvalidMessage:
    case ErrorCode::kInvalidUpdate:
    case ErrorCode::kInternal: return kExitFailed;
  }
  return kExitFailed;
}

const char* exit_code_help() {
  return "Exit codes: 0 done; 1 failed; 2 wrong flag, setting or file; 3 not reachable or port taken;\n"
         "4 not built into this version; 5 refused (unknown or revoked key, wrong role, spent token);\n"
         "6 disk full, or another limit reached; 7 durable state does not verify; 130 interrupted.";
}

}  // namespace covey
