#include "core/service/slot_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "core/service/text_file.h"
#include "tests/core/base/temporary_folder.h"

using namespace covey;
namespace fs = std::filesystem;

namespace {

std::string bytes_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}
std::uint64_t inode(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// A file whose newest slot says "three\n", the other "two\n".
SlotFile third_at(const std::string& path) {
  SlotFile file = SlotFile::create(path, "one\n").value();
  REQUIRE(file.write("two\n"));
  REQUIRE(file.write("three\n"));
  return file;
}

}  // namespace

TEST_CASE("slot file: the newest text comes back, and the file stays in place") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  CHECK(read_slots(path).error().code == ErrorCode::kNotFound);
  SlotFile file = SlotFile::create(path, "0\n").value();
  const std::uint64_t first = inode(path);
  for (int i = 1; i < 20; ++i) {
    CHECK(read_slots(path)->text == std::to_string(i - 1) + "\n");
    REQUIRE(file.write(std::to_string(i) + "\n"));
  }
  CHECK(read_slots(path)->whole);
  CHECK(inode(path) == first);
  CHECK(fs::file_size(path) == 2 * kSlotBytes);
  const std::string longest = std::string(kSlotTextMax - 1, 'x') + "\n";
  REQUIRE(file.write(longest));
  CHECK(read_slots(path)->text == longest);
}

TEST_CASE("slot file: a torn write leaves the text before, wherever it was cut") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  SlotFile file = third_at(path);
  const std::string before = bytes_in(path);
  REQUIRE(file.write("four\n"));
  const std::string after = bytes_in(path);
  std::size_t torn = 0;
  for (std::size_t cut = 0; cut <= before.size(); cut += cut < kSlotBytes ? 1 : 512) {
    // Either end of the write may have reached the disk first.
    for (const std::string& mixed : {after.substr(0, cut) + before.substr(cut), before.substr(0, cut) + after.substr(cut)}) {
      put(path, mixed);
      const auto found = read_slots(path);
      CAPTURE(cut);
      REQUIRE(found);
      torn += found->whole ? 0 : 1;
      CHECK(found->text == (mixed == after ? "four\n" : "three\n"));
    }
  }
  CHECK(torn > 50);
}

TEST_CASE("slot file: a bit turned anywhere is noticed, and only its slot is lost") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  third_at(path);
  const std::string sound = bytes_in(path);
  for (std::size_t at = 0; at < sound.size(); at += at % kSlotBytes < 200 ? 1 : 97) {
    std::string flipped = sound;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    put(path, flipped);
    const auto found = read_slots(path);
    CAPTURE(at);
    REQUIRE(found);
    CHECK_FALSE(found->whole);
    CHECK(found->text == (at < kSlotBytes ? "three\n" : "two\n"));  // "three" is turn 3: the odd slot
  }
}

TEST_CASE("slot file: what is cut short, too long, swapped or empty") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  third_at(path);
  const std::string sound = bytes_in(path);
  for (const std::size_t left : {std::size_t{0}, std::size_t{1}, kSlotBytes - 1}) {
    put(path, sound.substr(0, left));
    REQUIRE_FALSE(read_slots(path));
    CHECK(read_slots(path).error().code == ErrorCode::kCorrupted);
    CHECK(read_slots(path).error().message.find(path) == 0);
  }
  for (const std::size_t left : {kSlotBytes, 2 * kSlotBytes - 1}) {
    put(path, sound.substr(0, left));
    CHECK_FALSE(read_slots(path)->whole);
  }
  put(path, sound.substr(kSlotBytes) + sound.substr(0, kSlotBytes));
  CHECK_FALSE(read_slots(path));
  put(path, sound + "x");
  CHECK_FALSE(read_slots(path));
  put(path, std::string(2 * kSlotBytes, '\0'));
  CHECK_FALSE(read_slots(path));
  put(path, "covey-slot-v1 0 \n" + std::string(2 * kSlotBytes - 17, ' '));
  CHECK_FALSE(read_slots(path));
}

TEST_CASE("slot file: what was removed is made again; where it cannot be, the write fails") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  SlotFile file = third_at(path);
  fs::remove(path);
  REQUIRE(file.write("four\n"));
  CHECK(read_slots(path)->text == "four\n");
  fs::rename(path, folder / "elsewhere");
  put(path, "another file");
  REQUIRE(file.write("five\n"));
  CHECK(read_slots(path)->text == "five\n");
  CHECK(read_slots(folder / "elsewhere")->text == "four\n");
  fs::remove(path);
  fs::create_directory(path);
  CHECK_FALSE(file.write("six\n"));
  fs::remove(path);
  REQUIRE(file.write("seven\n"));
  CHECK(read_slots(path)->text == "seven\n");
}

TEST_CASE("slot file: it is written while no descriptor is free") {
  const TemporaryFolder folder;
  const std::string path = folder / "mark";
  SlotFile file = third_at(path);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{3, before.rlim_max};  // the three streams; what is open stays open
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool opened = open_file(folder / "other", OpenMode::kReadWrite).has_value();
  const bool written = file.write("four\n").has_value();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_FALSE(opened);
  CHECK(written);
  CHECK(read_slots(path)->text == "four\n");
}
