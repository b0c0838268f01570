// The demonstration's data: each client owns a different kind of real text that lies on this machine.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/cli/console.h"
#include "core/base/result.h"

namespace covey::cli {

struct DemoClient {
  std::string name;    // "licences"
  std::string folder;  // of its text
  std::uint64_t bytes = 0;
};

struct CorporaRequest {
  std::vector<std::string> data;  // folders or files of the user's own, one a client; empty: the machine's
  std::string folder;             // corpora are written into folders of this one, which must not be there
};
// The same number of bytes for every client (that of the smallest), no paragraph of which nearly
// repeats one of its own or of another client. Text that is not on this machine is left out, and it
// says so. Errors: kNotFound, kInvalidData when fewer than kSecureClientsMin clients have enough.
Result<std::vector<DemoClient>> prepare_corpora(const CorporaRequest& request, Console& console);

// Client names for the user's folders: their last part, in the characters a name may have, each once.
std::vector<std::string> client_names(const std::vector<std::string>& paths);

}  // namespace covey::cli
