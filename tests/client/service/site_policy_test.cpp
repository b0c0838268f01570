#include "client/service/site_policy.h"

#include <doctest/doctest.h>

#include "core/service/text_file.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;

namespace {

const VerifyKey kAuthority{{9}};

void check_refused(const SecureFloors& floors, const std::string& setting) {
  const auto policy = secure_policy_of(floors, kAuthority);
  REQUIRE_FALSE(policy.has_value());
  CHECK(policy.error().code == ErrorCode::kInvalidArgument);
  CHECK_MESSAGE(policy.error().message.find(setting) != std::string::npos, policy.error().message);
}

}  // namespace

TEST_CASE("site policy: by default what a member of secure aggregation insists on anyway") {
  const auto policy = secure_policy_of({}, kAuthority);
  REQUIRE(policy.has_value());
  const ClientPolicy own;
  CHECK(policy->authority == kAuthority);
  CHECK(policy->epoch_min == kCredentialEpochFirst);
  CHECK(policy->members_min == own.members_min);
  CHECK(policy->survivors_min == own.survivors_min);
  CHECK(policy->honest_min == own.honest_min);
  CHECK(policy->corrupt_min == own.corrupt_min);
  CHECK(policy->sigma_min == own.sigma_min);
  CHECK(policy->dropout_max_millionths == own.dropout_max_millionths);
  CHECK(policy->pinned.empty());
}

TEST_CASE("site policy: floors can be raised, and not lowered") {
  SecureFloors high;
  high.members_min = 20;
  high.survivors_min = 15;
  high.honest_min = 10;
  high.corrupt_min = 4;
  high.gamma_min = 0.2;
  high.sigma_min = 100;
  high.dropout_max = 0.125;
  const auto policy = secure_policy_of(high, kAuthority);
  REQUIRE(policy.has_value());
  CHECK(policy->members_min == 20);
  CHECK(policy->survivors_min == 15);
  CHECK(policy->honest_min == 10);
  CHECK(policy->corrupt_min == 4);
  CHECK(policy->gamma_min_millionths == 200'000);
  CHECK(policy->sigma_min == 100);
  CHECK(policy->dropout_max_millionths == 125'000);

  SecureFloors low;
  low.members_min = 2;
  check_refused(low, "members-min = 2");
  low = {};
  low.survivors_min = 0;
  check_refused(low, "survivors-min = 0");
  low = {};
  low.honest_min = 1;
  check_refused(low, "honest-min = 1");
  low = {};
  low.corrupt_min = 0;
  check_refused(low, "corrupt-min = 0");
  low = {};
  low.sigma_min = 79;
  check_refused(low, "sigma-min = 79");
  low = {};
  low.gamma_min = 0.34;
  check_refused(low, "gamma-min = 0.34");
  low = {};
  low.dropout_max = 0.31;
  check_refused(low, "dropout-max");
  low.dropout_max = -0.1;
  check_refused(low, "dropout-max");
  low = {};
  low.members_min = kSecAggMembersMax + 1;
  check_refused(low, "members-min");
}

TEST_CASE("site policy: pinned keys come from a file, which names at least one") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/pinned";
  SystemRandom random;
  const VerifyKey first = SigningKey::generate(random).public_key();
  const VerifyKey second = SigningKey::generate(random).public_key();
  const std::string text = "# our partners\n" + hex(first.span()) + "   # hospital-1\r\n\n  " + hex(second.span());
  REQUIRE(write_file(path, bytes_of(text)).has_value());
  SecureFloors floors;
  floors.pinned_file = path;
  const auto policy = secure_policy_of(floors, kAuthority);
  REQUIRE(policy.has_value());
  CHECK(policy->pinned == std::vector<VerifyKey>{first, second});

  REQUIRE(write_file(path, bytes_of(hex(first.span()) + "\n" + hex(second.span()).substr(1) + "\n")).has_value());
  check_refused(floors, "line 2");
  REQUIRE(write_file(path, bytes_of("# nobody\n\n")).has_value());
  check_refused(floors, "names no key");
  floors.pinned_file = folder.path() + "/none";
  CHECK_FALSE(secure_policy_of(floors, kAuthority).has_value());
}
