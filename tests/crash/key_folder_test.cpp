// The coordinator's CURVE keys on disk, and kill -9 at every step of their change. Compiled with fault points.
#include "coordinator/service/key_folder.h"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "coordinator/service/home.h"
#include "core/service/text_file.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/crash/fault_switch.h"

using namespace covey;

namespace {

namespace fs = std::filesystem;

const Instant kNow = instant_of_nanos(1'700'000'000'000'000'000);

struct Folder {
  explicit Folder(const TemporaryFolder& place, const std::string& name = "home") {
    InitRequest request;
    request.home = place / name;
    address = init_home(request).value();
    path = coordinator_folder(request.home);
    authority = std::make_unique<SigningKey>(load_authority(request.home).value());
  }
  KeyChange change_to(const PeerKey& next, std::uint64_t serial = 1) const {
    const std::uint16_t shift = serial % 2 == 1 ? 2 : 0;
    const auto port = [&](int base) { return static_cast<std::uint16_t>(base + shift); };
    const auto other = [&](int base) { return static_cast<std::uint16_t>(base + 2 - shift); };
    KeyChange change{address.record, {load_current_key(path).value().public_key(), other(7700), other(7701)},
                     {next, port(7700), port(7701)}, serial, kNow, kNow + 1h, {}};
    sign(change, *authority);
    return change;
  }
  bool has(const char* file) const { return fs::exists(path + "/" + file); }
  CoordinatorAddress address;
  std::string path;
  std::unique_ptr<SigningKey> authority;
};

// The whole life of a change, as the coordinator's executor goes through it; `change` is as the operator
// signed it, for the next key that is in the folder or will be.
void live(const Folder& folder, SecureRandom& random, std::uint64_t serial) {
  const auto next = make_next_key(folder.path, random);
  COVEY_CHECK(next.has_value());
  const KeyChange change = folder.change_to(*next, serial);
  COVEY_CHECK(keep_key_change(folder.path, change).has_value());
  COVEY_CHECK(retire_key(folder.path, change).has_value());
}

// As a start does, whose rows say that this change is over; 0: none.
CoordinatorHome boot(const Folder& folder, std::uint64_t retired) {
  auto home = load_coordinator_home(folder.path);
  REQUIRE_MESSAGE(home, home.error().message);
  const auto settled = settle_keys(folder.path, home->changes, retired);
  REQUIRE_MESSAGE(settled, settled.error().message);
  auto again = load_coordinator_home(folder.path);
  REQUIRE_MESSAGE(again, again.error().message);
  return std::move(*again);
}

}  // namespace

TEST_CASE("key folder: a change is kept beside both keys, served meanwhile, and leaves the new key alone at its end") {
  const TemporaryFolder place;
  const Folder folder(place);
  SystemRandom random;
  const PeerKey first = folder.address.curve;
  const PeerKey next = make_next_key(folder.path, random).value();
  CHECK(make_next_key(folder.path, random).value() == next);
  struct stat status{};
  REQUIRE(::stat((folder.path + "/curve.next.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(load_coordinator_home(folder.path).value().address == folder.address);

  const KeyChange change = folder.change_to(next);
  REQUIRE(keep_key_change(folder.path, change));
  const CoordinatorHome during = boot(folder, 0);
  CHECK(during.curve.public_key() == first);
  REQUIRE(change_under_way(during) != nullptr);
  CHECK(*change_under_way(during) == change);
  CHECK(during.address == moved_to(folder.address, change.after));
  CHECK(load_key(folder.path, next).value().public_key() == next);
  CHECK(load_key(folder.path, first).value().public_key() == first);

  const CoordinatorHome after = boot(folder, change.serial);
  CHECK(after.curve.public_key() == next);
  CHECK(change_under_way(after) == nullptr);
  CHECK(after.address == moved_to(folder.address, change.after));
  CHECK_FALSE(folder.has("curve.next.key"));
  CHECK_FALSE(folder.has("curve.old.key"));
  CHECK(load_key(folder.path, first).error().code == ErrorCode::kNotFound);
  const std::vector<PeerKey> known = known_keys(after);
  CHECK(std::find(known.begin(), known.end(), first) != known.end());
  live(folder, random, 2);  // and once more, back to the first pair of ports
  CHECK(boot(folder, 0).address.control_port == 7700);
}

TEST_CASE("key folder: what does not fit is refused by name") {
  const TemporaryFolder place;
  const Folder folder(place);
  SystemRandom random;
  const KeyChange foreign = folder.change_to(PeerKey{{9}});
  CHECK(keep_key_change(folder.path, foreign).error().code == ErrorCode::kCorrupted);
  CHECK(retire_key(folder.path, foreign).error().code == ErrorCode::kCorrupted);
  // A half-written next key was told to nobody: it is made anew.
  REQUIRE(write_file(folder.path + "/curve.next.key", bytes_of("covey-curve-key-v1 00")));
  REQUIRE(::chmod((folder.path + "/curve.next.key").c_str(), 0600) == 0);
  const PeerKey next = make_next_key(folder.path, random).value();
  const KeyChange change = folder.change_to(next);
  REQUIRE(keep_key_change(folder.path, change));
  Bytes spoilt = encode(change);
  spoilt.back() ^= 1;
  REQUIRE(write_file(folder.path + "/key-changes/00000000000000ff.change", spoilt));
  const auto home = load_coordinator_home(folder.path);
  REQUIRE_FALSE(home);
  CHECK(home.error().code == ErrorCode::kCorrupted);
  CHECK(home.error().message.find("00000000000000ff.change") != std::string::npos);
}

TEST_CASE("key folder: kill -9 at every point leaves keys that go on") {
  const TemporaryFolder place;
  SystemRandom random;
  crash::FaultTable table;
  std::size_t killed = 0, points = 0;
  for (std::uint64_t nth = 1; nth < 100; ++nth) {
    const Folder folder(place, "home" + std::to_string(nth));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      crash::arm_faults(table, crash::kAnyPoint, nth);
      live(folder, random, 1);
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CAPTURE(nth);
    REQUIRE((WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0));
    killed += WIFSIGNALED(status) ? 1 : 0;

    const CoordinatorHome during = boot(folder, 0);  // wherever it died, it starts
    const bool kept = !during.changes.empty();
    if (kept) {
      const KeyChange& change = during.changes.back();
      const CoordinatorHome after = boot(folder, change.serial);
      CHECK(after.curve.public_key() == change.after.key);
      CHECK(after.address == moved_to(folder.address, change.after));
      CHECK_FALSE(folder.has("curve.next.key"));
      CHECK_FALSE(folder.has("curve.old.key"));
    } else {
      CHECK(during.curve.public_key() == folder.address.curve);
      live(folder, random, 1);
      CHECK(boot(folder, 1).changes.size() == 1);
    }
    if (!WIFSIGNALED(status)) break;
  }
  for (const auto& [name, count] : table.counts()) points += name.starts_with("key.") ? 1 : 0;
  CHECK(points == 10);
  CHECK(killed >= points);
  CHECK(killed < 99);
}
