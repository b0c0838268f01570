#include <doctest/doctest.h>

#include <limits>

#include "aggregation/check_update.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {

TEST_CASE("check update: gives the norm of a good one") {
  MemoryBlobs blobs;
  const std::vector<float> update{3, 0, 4};
  const auto checked = check_update({blobs.put(bytes_of_floats(update)).value(), 3, {}, {}, 0}, blobs);
  REQUIRE(checked);
  CHECK(checked->norm == 5.0);
}

TEST_CASE("check update: names the first element that is not finite, beyond the first chunk too") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    MemoryBlobs blobs;
    std::vector<float> update(100'000, 1.0F);
    update[70'001] = bad;
    update[70'002] = bad;
    const auto refused = check_update({blobs.put(bytes_of_floats(update)).value(), update.size(), {}, {}, 0}, blobs);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
    CHECK(refused.error().message.find("element 70001 ") != std::string::npos);
  }
}

TEST_CASE("check update: refuses a wrong size with the size expected") {
  MemoryBlobs blobs;
  const std::vector<float> update{1, 2};
  const auto refused = check_update({blobs.put(bytes_of_floats(update)).value(), 3, {}, {}, 0}, blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
  CHECK(refused.error().message.find("12") != std::string::npos);
}

TEST_CASE("check update: a missing blob is not an invalid one") {
  MemoryBlobs blobs;
  CHECK(check_update({BlobRef{Digest{{1}}, 12}, 3, {}, {}, 0}, blobs).error().code == ErrorCode::kNotFound);
}

}  // namespace covey
