#include "coordinator/service/home.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>

#include "core/service/identity.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;

namespace {

namespace fs = std::filesystem;

InitRequest request_in(const TemporaryFolder& folder, const std::string& name = "home") {
  InitRequest request;
  request.home = folder / name;
  return request;
}

}  // namespace

TEST_CASE("home: init makes keys that fit the address, which the operator pins") {
  const TemporaryFolder folder;
  const InitRequest request = request_in(folder);
  const auto address = init_home(request);
  REQUIRE_MESSAGE(address, address.error().message);
  const std::string coordinator = coordinator_folder(request.home);
  const auto home = load_coordinator_home(coordinator);
  REQUIRE_MESSAGE(home, home.error().message);
  CHECK(home->address == *address);
  CHECK(home->record->public_key() == address->record);
  CHECK(address->record != address->authority);
  CHECK(load_membership(operator_folder(request.home)).value()->coordinator.record == address->record);
  for (const char* key : {"record.key", "curve.key"}) {
    struct stat status{};
    REQUIRE(::stat((coordinator + "/" + key).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
  CHECK(init_home(request).error().code == ErrorCode::kAlreadyExists);
}

TEST_CASE("home: keys of another coordinator, or none, are refused by name") {
  const TemporaryFolder folder;
  const InitRequest mine = request_in(folder), other = request_in(folder, "other");
  REQUIRE(init_home(mine));
  REQUIRE(init_home(other));
  const std::string coordinator = coordinator_folder(mine.home);
  for (const std::string key : {"record.key", "curve.key"}) {
    fs::rename(coordinator + "/" + key, folder / "mine");
    fs::copy_file(coordinator_folder(other.home) + "/" + key, coordinator + "/" + key);
    const auto foreign = load_coordinator_home(coordinator);
    REQUIRE_FALSE(foreign);
    CHECK(foreign.error().code == ErrorCode::kCorrupted);
    CHECK(foreign.error().message.find(key) != std::string::npos);
    fs::remove(coordinator + "/" + key);
    const auto missing = load_coordinator_home(coordinator);
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == ErrorCode::kNotFound);
    CHECK(missing.error().message.find(key) != std::string::npos);
    fs::rename(folder / "mine", coordinator + "/" + key);
  }
  fs::permissions(coordinator + "/record.key", fs::perms::group_read, fs::perm_options::add);
  CHECK(load_coordinator_home(coordinator).error().code == ErrorCode::kPermissionDenied);
}
