#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "core/base/file.h"
#include "core/store/blobs.h"
#include "core/store/partial_values.h"
#include "tests/core/base/child_process.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/core/store/blob_samples.h"
#include "tests/core/store/file_limit.h"

using namespace covey;

namespace {

std::string value_path(const TemporaryFolder& folder, const Digest& id) {
  const std::string name = hex(id.span());
  return folder / ("blobs/" + name.substr(0, 2) + "/" + name);
}

std::string partial_path(const TemporaryFolder& folder, const Digest& id, const std::string& extension) {
  return folder / ("partial/" + hex(id.span()) + extension);
}

void damage(const std::string& path, std::uint64_t offset) {
  const auto file = *open_file(path, OpenMode::kReadWrite);
  Bytes byte(1);
  REQUIRE(*read_at(file, offset, byte, path) == 1);
  byte[0] ^= 0x40;
  REQUIRE(write_at(file, offset, byte, path));
}

std::size_t files_in(const std::string& folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) count += entry.is_regular_file() ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("blob files: values last, in the documented places") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(kChunkBytes + 9);
  const auto [blob, hashes] = plan_of(value);
  CHECK((*open_blob_files(folder.path()))->put(value));
  const auto blobs = *open_blob_files(folder.path());
  CHECK(*blobs->get(blob.id) == value);
  CHECK(std::filesystem::file_size(value_path(folder, blob.id)) == value.size());
  CHECK(std::filesystem::file_size(value_path(folder, blob.id) + ".chunks") == 64);
  CHECK(files_in(folder / "tmp") == 0);
  CHECK(blobs->erase(blob.id));
  CHECK(files_in(folder / "blobs") == 0);
}

TEST_CASE("blob files: a transfer goes on after kill -9") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(4 * kChunkBytes + 9);
  const auto [blob, hashes] = plan_of(value);
  const auto child = in_child_process([&] {
    const auto blobs = open_blob_files(folder.path());
    if (!blobs || !(*blobs)->begin_partial(blob, hashes)) return 1;
    for (const std::size_t i : {0U, 2U, 4U})
      if (!(*blobs)->write_chunk(blob.id, i, chunk_of(value, i))) return 2;
    std::raise(SIGKILL);
    return 3;
  });
  REQUIRE(child.signal == SIGKILL);
  const auto blobs = *open_blob_files(folder.path());
  CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>{true, false, true, false, true});
  CHECK(blobs->write_chunk(blob.id, 1, chunk_of(value, 1)));
  CHECK(blobs->write_chunk(blob.id, 3, chunk_of(value, 3)));
  CHECK(blobs->finish_partial(blob.id));
  CHECK(*blobs->get(blob.id) == value);
  CHECK(files_in(folder / "partial") == 0);
}

TEST_CASE("blob files: flags are not believed without the chunk") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(3 * kChunkBytes);
  const auto [blob, hashes] = plan_of(value);
  const auto blobs = *open_blob_files(folder.path());
  REQUIRE(blobs->begin_partial(blob, hashes));
  for (std::size_t i = 0; i < 3; ++i) REQUIRE(blobs->write_chunk(blob.id, i, chunk_of(value, i)));

  SUBCASE("a chunk that changed") {
    damage(partial_path(folder, blob.id, ".part"), kChunkBytes + 5);
    CHECK(blobs->finish_partial(blob.id).error().code == ErrorCode::kCorrupted);
    CHECK_FALSE(blobs->has(blob.id));
    CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>{true, false, true});
    CHECK(blobs->write_chunk(blob.id, 1, chunk_of(value, 1)));
  }
  SUBCASE("a file that lost its end") {
    std::filesystem::resize_file(partial_path(folder, blob.id, ".part"), 2 * kChunkBytes + 1);
    CHECK_FALSE(blobs->finish_partial(blob.id).has_value());
    CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>{true, true, false});
    CHECK(blobs->write_chunk(blob.id, 2, chunk_of(value, 2)));
  }
  SUBCASE("flags that were lost") {
    std::filesystem::resize_file(partial_path(folder, blob.id, ".have"), 1);
    CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>{true, false, false});
    for (std::size_t i = 1; i < 3; ++i) CHECK(blobs->write_chunk(blob.id, i, chunk_of(value, i)));
  }
  SUBCASE("a list of hashes that changed") {
    damage(partial_path(folder, blob.id, ".hashes"), 8 + 32 + 1);
    CHECK_FALSE(blobs->write_chunk(blob.id, 1, chunk_of(value, 1)).has_value());
    CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>(3, true));
  }
  CHECK(blobs->finish_partial(blob.id));
  CHECK(*blobs->get(blob.id) == value);
}

TEST_CASE("blob files: a damaged value is told as corrupted, and put mends it") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(2 * kChunkBytes);
  const auto [blob, hashes] = plan_of(value);
  const auto blobs = *open_blob_files(folder.path());
  REQUIRE(blobs->put(value));
  const std::string path = value_path(folder, blob.id);
  SUBCASE("one bit") { damage(path, kChunkBytes + 1); }
  SUBCASE("shorter") { std::filesystem::resize_file(path, value.size() - 1); }
  SUBCASE("longer") { std::filesystem::resize_file(path, value.size() + 1); }
  SUBCASE("empty") { std::filesystem::resize_file(path, 0); }
  const auto got = blobs->get(blob.id);
  REQUIRE_FALSE(got);
  CHECK(got.error().code == ErrorCode::kCorrupted);
  CHECK(got.error().message.find(path) == 0);
  REQUIRE(blobs->put(value));
  CHECK(*blobs->get(blob.id) == value);
}

TEST_CASE("blob files: a lost or damaged list of chunk hashes is made again") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(2 * kChunkBytes);
  const auto [blob, hashes] = plan_of(value);
  const auto blobs = *open_blob_files(folder.path());
  REQUIRE(blobs->put(value));
  const std::string path = value_path(folder, blob.id) + ".chunks";
  SUBCASE("lost") { std::filesystem::remove(path); }
  SUBCASE("damaged") { damage(path, 40); }
  SUBCASE("short") { std::filesystem::resize_file(path, 33); }
  CHECK(*blobs->chunk_hashes(blob.id) == hashes);
  CHECK(std::filesystem::file_size(path) == 64);
}

TEST_CASE("blob files: what a killed process left half done is swept at open") {
  const TemporaryFolder folder;
  const Bytes value = blob_value(100);
  const auto [blob, hashes] = plan_of(value);
  REQUIRE((*open_blob_files(folder.path()))->put(value));
  const auto scatter = [](const std::string& path) { std::ofstream(path) << "left"; };
  scatter(folder / "tmp/17");
  scatter(partial_path(folder, blob.id, ".have"));       // of a value that became whole
  const Digest other = plan_of(blob_value(101)).blob.id;
  scatter(partial_path(folder, other, ".part"));         // of a transfer half dropped
  std::filesystem::create_directories(std::filesystem::path(value_path(folder, other)).parent_path());
  scatter(value_path(folder, other) + ".chunks");        // of a value half erased
  const auto blobs = *open_blob_files(folder.path());
  CHECK(files_in(folder / "tmp") == 0);
  CHECK(files_in(folder / "partial") == 0);
  CHECK(files_in(folder / "blobs") == 2);
  CHECK(*blobs->list() == std::vector<Digest>{blob.id});
  CHECK(*blobs->get(blob.id) == value);
}

TEST_CASE("blob files: what is there in part is listed with the size that it is to have") {
  const TemporaryFolder folder;
  const auto whole = plan_of(blob_value(100)), begun = plan_of(blob_value(2 * kChunkBytes + 5)), other = plan_of(blob_value(7));
  {
    const auto blobs = *open_blob_files(folder.path());
    CHECK(partial_values(folder.path())->empty());
    REQUIRE(blobs->put(blob_value(100)));
    REQUIRE(blobs->begin_partial(begun.blob, begun.hashes));
    REQUIRE(blobs->begin_partial(other.blob, other.hashes));
  }
  std::ofstream(partial_path(folder, whole.blob.id, ".hashes")) << "cut";  // shorter than a size
  std::ofstream(folder / "partial/no-id.hashes") << "left by somebody";
  std::vector<BlobRef> expected{begun.blob, other.blob};
  std::sort(expected.begin(), expected.end(), [](const BlobRef& a, const BlobRef& b) { return a.id < b.id; });
  CHECK(*partial_values(folder.path()) == expected);
  CHECK_FALSE(partial_values(folder / "nowhere"));
}

TEST_CASE("blob files: a full disk is told with the path, and leaves nothing") {
  const TemporaryFolder folder;
  const auto blobs = *open_blob_files(folder.path());
  const Bytes value = blob_value(4 * kChunkBytes);
  const auto [blob, hashes] = plan_of(value);
  REQUIRE(blobs->begin_partial(blob, hashes));
  Result<BlobRef> put = BlobRef{};
  Result<void> chunk;
  {
    const FileLimit limit(kChunkBytes);
    put = blobs->put(value);
    chunk = blobs->write_chunk(blob.id, 1, chunk_of(value, 1));
  }
  REQUIRE_FALSE(put);
  CHECK(put.error().code == ErrorCode::kDiskFull);
  CHECK(put.error().message.find(folder.path()) == 0);
  CHECK(files_in(folder / "tmp") == 0);
  CHECK_FALSE(blobs->has(blob.id));
  REQUIRE_FALSE(chunk);
  CHECK(chunk.error().code == ErrorCode::kDiskFull);
  CHECK(*blobs->begin_partial(blob, hashes) == std::vector<bool>(4));
  CHECK(blobs->put(value));
}

TEST_CASE("blob files: a second process is told that the folder is in use") {
  const TemporaryFolder folder;
  const auto blobs = open_blob_files(folder.path());
  REQUIRE(blobs);
  CHECK(in_child_process([&] {
          const auto second = open_blob_files(folder.path());
          return !second && second.error().message.find("already in use by another process") != std::string::npos ? 0 : 1;
        }).exit_code == 0);
}
