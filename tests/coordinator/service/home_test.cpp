#include "coordinator/service/home.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>

#include "core/service/identity.h"
#include "core/service/text_file.h"
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

TEST_CASE("home: what cannot be read is refused by name, and a pipe does not block") {
  const TemporaryFolder folder;
  const InitRequest request = request_in(folder);
  REQUIRE(init_home(request));
  const std::string coordinator = coordinator_folder(request.home), member = operator_folder(request.home);
  const auto refused = [&](const std::string& path, const std::string& words) {
    CAPTURE(path);
    const auto membership = load_membership(member);
    const auto home = load_coordinator_home(coordinator);
    const auto keys = load_keys(member);
    REQUIRE((!home || !membership || !keys));
    const Error error = !home ? home.error() : !membership ? membership.error() : keys.error();
    INFO(error.message);
    CHECK(error.code == ErrorCode::kInvalidData);
    CHECK(error.message.find(path) != std::string::npos);
    CHECK(error.message.find(words) != std::string::npos);
  };
  for (const std::string& path : {coordinator + "/curve.key", coordinator + "/record.key", coordinator + "/address.bin",
                                  coordinator + "/operators/operator.cert", member + "/signing.key", member + "/membership.bin"}) {
    fs::rename(path, folder / "kept");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    refused(path, "is a pipe");
    fs::remove(path);
    fs::create_directory(path);
    refused(path, "is a folder");
    fs::remove(path);
    const bool key = path.ends_with(".key");
    if (!key) folder.write("empty", "");
    if (!key) fs::rename(folder / "empty", path);
    if (!key) refused(path, "is empty");
    fs::rename(folder / "kept", path);
  }
  CHECK(load_coordinator_home(coordinator).has_value());
}

TEST_CASE("home: an operator's certificate that is damaged, or another authority's, is refused at a start") {
  const TemporaryFolder folder;
  const InitRequest mine = request_in(folder), other = request_in(folder, "other");
  REQUIRE(init_home(mine));
  REQUIRE(init_home(other));
  const std::string coordinator = coordinator_folder(mine.home), path = coordinator + "/operators/operator.cert";
  const VerifyKey authority = load_coordinator_home(coordinator).value().address.authority;
  CHECK(check_operators(coordinator, authority));
  const Bytes sound = read_file(path, 4096).value();
  for (std::size_t at = 0; at < sound.size(); ++at) {
    Bytes damaged = sound;
    damaged[at] ^= 4;
    REQUIRE(write_file(path, damaged));
    const auto checked = check_operators(coordinator, authority);
    CAPTURE(at);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == ErrorCode::kInvalidData);
    CHECK(checked.error().message.find(path) == 0);
    CHECK(checked.error().message.find("move it away") != std::string::npos);
  }
  fs::copy_file(coordinator_folder(other.home) + "/operators/operator.cert", path, fs::copy_options::overwrite_existing);
  CHECK_FALSE(check_operators(coordinator, authority));
  fs::remove(path);
  CHECK(check_operators(coordinator, authority));  // nobody is locked out: the data know their operators
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
