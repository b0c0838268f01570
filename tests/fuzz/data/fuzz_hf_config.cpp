// A config.json from anywhere: what is accepted names its tensors, and is written as it is.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/data/hf/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  const auto config = parse_hf_config({reinterpret_cast<const char*>(data), size});
  if (!config) {
    COVEY_CHECK(!config.error().message.empty());
    return 0;
  }
  COVEY_CHECK(config->validate().has_value());
  const auto again = parse_hf_config(to_hf_config(*config));
  COVEY_CHECK(again.has_value() && *again == *config);
  for (const HfPart& part : hf_parts(*config)) {
    const HfPlace place = place_of(*config, part);
    COVEY_CHECK(part.elements() > 0 && !place.name.empty());
    COVEY_CHECK(place.first_row + part.shape[0] <= place.rows);
  }
  return 0;
}
