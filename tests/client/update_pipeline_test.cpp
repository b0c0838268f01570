#include "client/update_pipeline.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "core/protocol/manifest.h"

using namespace covey;

TEST_CASE("update pipeline: without clipping the bytes are the floats") {
  const auto prepared = prepare_update({}, std::vector<float>{1, -2, 2});
  REQUIRE(prepared.has_value());
  CHECK(prepared->norm_before == 3);
  CHECK(prepared->bytes == Bytes{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x40});
}

TEST_CASE("update pipeline: clipping bounds what leaves, the norm reported is the raw one") {
  UpdateSpec spec;
  spec.clip_norm = 1.5;
  const auto prepared = prepare_update(spec, std::vector<float>{1, -2, 2});
  REQUIRE(prepared.has_value());
  CHECK(prepared->norm_before == 3);
  CHECK(*floats_of_bytes(prepared->bytes) == std::vector<float>{0.5f, -1, 1});
}

TEST_CASE("update pipeline: what is not finite does not leave") {
  const std::vector<float> delta{1, std::numeric_limits<float>::infinity()};
  for (const double bound : {0.0, 1.0}) {
    UpdateSpec spec;
    spec.clip_norm = bound;
    const auto prepared = prepare_update(spec, delta);
    REQUIRE_FALSE(prepared.has_value());
    CHECK(prepared.error().code == ErrorCode::kInvalidUpdate);
    CHECK(prepared.error().message.find("element 1 of 2 is infinite") != std::string::npos);
  }
}
