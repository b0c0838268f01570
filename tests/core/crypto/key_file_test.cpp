#include "core/crypto/key_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include "core/base/file.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/core/crypto/fixed_random.h"

using namespace covey;

namespace {

constexpr const char* kKind = "covey-test-key-v1";

Secret<32> sample() {
  CountingRandom random;
  return Secret<32>::random(random);
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  ::chmod(path.c_str(), 0600);
}

const std::string kSampleHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

}  // namespace

TEST_CASE("key file: comes back as it was, readable by its owner alone") {
  const TemporaryFolder folder;
  const std::string path = folder / "key";
  const mode_t before = ::umask(0);
  REQUIRE(save_secret(path, kKind, sample()));
  ::umask(before);
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  const auto loaded = load_secret<32>(path, kKind);
  REQUIRE(loaded);
  CHECK(loaded->equals(sample()));
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  CHECK(line == std::string(kKind) + " " + kSampleHex);
  CountingRandom random;
  const auto wide = Secret<64>::random(random);
  REQUIRE(save_secret(folder / "wide", kKind, wide));
  CHECK(load_secret<64>(folder / "wide", kKind)->equals(wide));
}

TEST_CASE("key file: never overwritten") {
  const TemporaryFolder folder;
  const std::string path = folder / "key";
  REQUIRE(save_secret(path, kKind, sample()));
  const auto again = save_secret(path, kKind, Secret<32>());
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kAlreadyExists);
  CHECK(load_secret<32>(path, kKind)->equals(sample()));
}

TEST_CASE("key file: refused when others may read it, with the remedy") {
  const TemporaryFolder folder;
  const std::string path = folder / "key";
  REQUIRE(save_secret(path, kKind, sample()));
  for (const mode_t mode : {0644U, 0640U, 0604U, 0620U, 0601U}) {
    ::chmod(path.c_str(), mode);
    const auto loaded = load_secret<32>(path, kKind);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == ErrorCode::kPermissionDenied);
    CHECK(loaded.error().message.find("chmod 600 " + path) != std::string::npos);
  }
  ::chmod(path.c_str(), 0400);
  CHECK(load_secret<32>(path, kKind).has_value());
}

TEST_CASE("key file: anything else is refused, and the secret stays out of the error") {
  const TemporaryFolder folder;
  const std::string path = folder / "key";
  CHECK(load_secret<32>(path, kKind).error().code == ErrorCode::kNotFound);
  const std::string good = std::string(kKind) + " " + kSampleHex;
  write_text(path, good);  // the newline may be missing
  CHECK(load_secret<32>(path, kKind).has_value());
  for (const std::string& text :
       {std::string(), std::string(kKind), std::string(kKind) + " ", good.substr(0, good.size() - 2), good + "00",
        good + "\n\n", "other-key " + kSampleHex, std::string(kKind) + "x" + kSampleHex,
        good.substr(0, good.size() - 1) + "g", good + std::string(100000, '0')}) {
    CAPTURE(text.size());
    write_text(path, text);
    const auto loaded = load_secret<32>(path, kKind);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == ErrorCode::kInvalidData);
    CHECK(loaded.error().message.find("0001020304") == std::string::npos);
  }
  CHECK(load_secret<32>(folder.path(), kKind).error().code == ErrorCode::kInvalidData);  // a folder
}

TEST_CASE("key file: nothing is left behind where it cannot be written") {
  CHECK(save_secret("/nonexistent-folder/key", kKind, sample()).error().code == ErrorCode::kNotFound);
}
