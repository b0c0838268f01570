// The token files that a path names, held against what a model wants of them. Internal to this folder.
#pragma once
#include <string>
#include <vector>

#include "core/data/tokens/token_stream.h"

namespace covey {

struct FoundTokens {
  std::string path, relative;
};
Result<void> check_packing(const PackingSpec& packing);
// By their names, ascending. Errors: as TokenStream::open's.
Result<std::vector<FoundTokens>> find_token_files(const std::string& path, const PackingSpec& packing);

}  // namespace covey
