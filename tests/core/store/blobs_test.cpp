#include "core/store/blobs.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/core/base/temporary_folder.h"
#include "tests/core/store/blob_samples.h"

using namespace covey;

// What every blob store promises, in memory or on disk.
namespace {

struct InMemory {
  MemoryBlobs memory;
  BlobStore& blobs() { return memory; }
};

struct OnDisk {
  TemporaryFolder folder;
  std::unique_ptr<BlobStore> opened = *open_blob_files(folder.path());
  BlobStore& blobs() { return *opened; }
};

}  // namespace

TEST_CASE_TEMPLATE("blobs: a value of any size comes back, by its content's name", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  std::vector<Digest> ids;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1, 3 * kChunkBytes + 5}) {
    CAPTURE(size);
    const Bytes value = blob_value(size);
    const auto blob = blobs.put(value);
    REQUIRE(blob);
    CHECK(*blob == plan_of(value).blob);
    CHECK(*blobs.put(value) == *blob);  // again: the same
    CHECK(blobs.has(blob->id));
    CHECK(*blobs.get(blob->id) == value);
    CHECK(*blobs.chunk_hashes(blob->id) == plan_of(value).hashes);
    ids.push_back(blob->id);
  }
  std::sort(ids.begin(), ids.end());
  CHECK(*blobs.list() == ids);
}

TEST_CASE_TEMPLATE("blobs: a missing value is not found, and erasing it is fine", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Digest id = plan_of(blob_value(10)).blob.id;
  CHECK_FALSE(blobs.has(id));
  CHECK(blobs.get(id).error().code == ErrorCode::kNotFound);
  CHECK(blobs.read(id, 0, 0).error().code == ErrorCode::kNotFound);
  CHECK(blobs.chunk_hashes(id).error().code == ErrorCode::kNotFound);
  CHECK(blobs.write_chunk(id, 0, {}).error().code == ErrorCode::kNotFound);
  CHECK(blobs.finish_partial(id).error().code == ErrorCode::kNotFound);
  blobs.drop_partial(id);
  CHECK(blobs.erase(id));
  CHECK(blobs.list()->empty());
}

TEST_CASE_TEMPLATE("blobs: parts are read within bounds", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(2 * kChunkBytes + 100);
  const Digest id = blobs.put(value)->id;
  const auto part = [&](std::size_t offset, std::size_t length) {
    return Bytes(value.begin() + static_cast<long>(offset), value.begin() + static_cast<long>(offset + length));
  };
  CHECK(*blobs.read(id, kChunkBytes - 3, 10) == part(kChunkBytes - 3, 10));
  CHECK(*blobs.read(id, 2 * kChunkBytes, 100) == part(2 * kChunkBytes, 100));
  CHECK(*blobs.read(id, 0, value.size()) == value);
  CHECK(blobs.read(id, value.size(), 0)->empty());
  for (const auto& [offset, length] : {std::pair<std::uint64_t, std::size_t>{value.size(), 1}, {value.size() - 1, 2},
                                       {~std::uint64_t{0}, 1}, {1, ~std::size_t{0}}, {~std::uint64_t{0}, ~std::size_t{0}}})
    CHECK(blobs.read(id, offset, length).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE_TEMPLATE("blobs: erased values are gone and may come again", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(1000);
  const Digest id = blobs.put(value)->id;
  const Digest other = blobs.put(blob_value(1000, 2))->id;
  CHECK(blobs.erase(id));
  CHECK_FALSE(blobs.has(id));
  CHECK(*blobs.list() == std::vector<Digest>{other});
  CHECK(blobs.put(value)->id == id);
  CHECK(*blobs.get(id) == value);
}

TEST_CASE_TEMPLATE("blobs: chunks in any order make a whole value", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(3 * kChunkBytes + 5);
  const auto [blob, hashes] = plan_of(value);
  CHECK(*blobs.begin_partial(blob, hashes) == std::vector<bool>(4));
  CHECK(blobs.write_chunk(blob.id, 3, chunk_of(value, 3)));
  CHECK(blobs.write_chunk(blob.id, 0, chunk_of(value, 0)));
  CHECK(blobs.write_chunk(blob.id, 0, chunk_of(value, 0)));  // a repetition does no harm
  CHECK(*blobs.begin_partial(blob, hashes) == std::vector<bool>{true, false, false, true});
  CHECK_FALSE(blobs.has(blob.id));
  CHECK(blobs.list()->empty());
  const auto early = blobs.finish_partial(blob.id);
  REQUIRE_FALSE(early);
  CHECK(early.error().message.find("lacks 2 chunks") != std::string::npos);
  CHECK(blobs.write_chunk(blob.id, 2, chunk_of(value, 2)));
  CHECK(blobs.write_chunk(blob.id, 1, chunk_of(value, 1)));
  CHECK(blobs.finish_partial(blob.id));
  CHECK(*blobs.get(blob.id) == value);
  CHECK(*blobs.chunk_hashes(blob.id) == hashes);

  // Late messages about a whole value are answered in peace.
  CHECK(blobs.finish_partial(blob.id));
  CHECK(blobs.write_chunk(blob.id, 1, chunk_of(value, 1)));
  CHECK_FALSE(blobs.write_chunk(blob.id, 1, chunk_of(value, 2)).has_value());
  CHECK_FALSE(blobs.write_chunk(blob.id, 4, {}).has_value());
  CHECK(*blobs.begin_partial(blob, hashes) == std::vector<bool>(4, true));
}

TEST_CASE_TEMPLATE("blobs: an empty value needs no chunk", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  const auto [blob, hashes] = plan_of({});
  CHECK(fixture.blobs().begin_partial(blob, hashes)->empty());
  CHECK(fixture.blobs().finish_partial(blob.id));
  CHECK(fixture.blobs().get(blob.id)->empty());
}

TEST_CASE_TEMPLATE("blobs: a wrong chunk is refused and changes nothing", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(2 * kChunkBytes + 5);
  const auto [blob, hashes] = plan_of(value);
  REQUIRE(blobs.begin_partial(blob, hashes));
  REQUIRE(blobs.write_chunk(blob.id, 1, chunk_of(value, 1)));
  Bytes changed(chunk_of(value, 0).begin(), chunk_of(value, 0).end());
  changed[77] ^= 1;
  for (const auto& refused :
       {blobs.write_chunk(blob.id, 0, changed), blobs.write_chunk(blob.id, 0, chunk_of(value, 1)),
        blobs.write_chunk(blob.id, 1, changed), blobs.write_chunk(blob.id, 0, {}),
        blobs.write_chunk(blob.id, 2, chunk_of(value, 1)), blobs.write_chunk(blob.id, 3, chunk_of(value, 2)),
        blobs.write_chunk(blob.id, ~std::size_t{0}, chunk_of(value, 0))}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kInvalidMessage);
  }
  CHECK(*blobs.begin_partial(blob, hashes) == std::vector<bool>{false, true, false});
}

TEST_CASE_TEMPLATE("blobs: hashes that do not make the id are refused", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  auto [blob, hashes] = plan_of(blob_value(2 * kChunkBytes));
  CHECK(blobs.begin_partial({blob.id, blob.size + 1}, hashes).error().code == ErrorCode::kInvalidMessage);
  CHECK(blobs.begin_partial({blob.id, blob.size - 1}, hashes).error().code == ErrorCode::kInvalidMessage);
  CHECK(blobs.begin_partial(blob, {}).error().code == ErrorCode::kInvalidMessage);
  std::swap(hashes[0], hashes[1]);
  CHECK(blobs.begin_partial(blob, hashes).error().code == ErrorCode::kInvalidMessage);
  // A size that no list of hashes fits, under an id that was made for it.
  const std::uint64_t huge = ~std::uint64_t{0};
  CHECK(blobs.begin_partial({blob_id(huge, {}), huge}, {}).error().code == ErrorCode::kInvalidMessage);
}

TEST_CASE_TEMPLATE("blobs: a chunk of another length is refused even if its hash was promised", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  const Bytes small = blob_value(10);
  const std::vector<Digest> hashes{chunk_digest(small), chunk_digest(small)};
  const BlobRef blob{blob_id(kChunkBytes + 5, hashes), kChunkBytes + 5};
  REQUIRE(fixture.blobs().begin_partial(blob, hashes));
  CHECK_FALSE(fixture.blobs().write_chunk(blob.id, 0, small).has_value());
  CHECK_FALSE(fixture.blobs().write_chunk(blob.id, 1, small).has_value());
}

TEST_CASE_TEMPLATE("blobs: a dropped transfer begins from nothing", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(2 * kChunkBytes);
  const auto [blob, hashes] = plan_of(value);
  REQUIRE(blobs.begin_partial(blob, hashes));
  REQUIRE(blobs.write_chunk(blob.id, 0, chunk_of(value, 0)));
  blobs.drop_partial(blob.id);
  CHECK(blobs.write_chunk(blob.id, 1, chunk_of(value, 1)).error().code == ErrorCode::kNotFound);
  CHECK(*blobs.begin_partial(blob, hashes) == std::vector<bool>(2));
}

TEST_CASE_TEMPLATE("blobs: a value written in pieces is the value put whole, and can be read back meanwhile", Fixture, InMemory, OnDisk) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, kChunkBytes, 3 * kChunkBytes + 5}) {
    CAPTURE(size);
    Fixture fixture;
    BlobStore& blobs = fixture.blobs();
    const Bytes value = blob_value(size);
    auto writer = blobs.writer();
    REQUIRE(writer);
    for (std::size_t at = 0; at < size; at += 100'000)
      REQUIRE((*writer)->append(ByteSpan(value).subspan(at, std::min<std::size_t>(100'000, size - at))));
    for (const std::size_t at : {std::size_t{0}, size / 2, size - size / 3}) {
      Bytes back(size - at);
      REQUIRE((*writer)->read_back(at, back));
      CHECK(std::equal(back.begin(), back.end(), value.begin() + static_cast<long>(at)));
    }
    const auto blob = (*writer)->finish();
    REQUIRE(blob);
    CHECK(*blob == plan_of(value).blob);
    CHECK(*blobs.get(blob->id) == value);
    CHECK(*blobs.chunk_hashes(blob->id) == plan_of(value).hashes);
  }
}

TEST_CASE_TEMPLATE("blobs: a writer that is dropped leaves nothing", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  {
    auto writer = fixture.blobs().writer();
    REQUIRE(writer);
    REQUIRE((*writer)->append(blob_value(2 * kChunkBytes)));
  }
  CHECK(fixture.blobs().list()->empty());
}

TEST_CASE_TEMPLATE("blobs: what was written of an unfinished value can be read", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(2 * kChunkBytes + 9);
  const auto plan = plan_of(value);
  Bytes part(100);
  CHECK(blobs.read_written(plan.blob.id, 0, part).error().code == ErrorCode::kNotFound);
  REQUIRE(blobs.begin_partial(plan.blob, plan.hashes));
  REQUIRE(blobs.write_chunk(plan.blob.id, 1, ByteSpan(value).subspan(kChunkBytes, kChunkBytes)));
  REQUIRE(blobs.read_written(plan.blob.id, kChunkBytes + 7, part));
  CHECK(std::equal(part.begin(), part.end(), value.begin() + static_cast<long>(kChunkBytes + 7)));
  REQUIRE(blobs.put(value));
  REQUIRE(blobs.read_written(plan.blob.id, kChunkBytes + 7, part));
}

TEST_CASE_TEMPLATE("blobs: an unsynced value can be read, made durable after all, or dropped", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  BlobStore& blobs = fixture.blobs();
  const Bytes value = blob_value(2 * kChunkBytes + 9);
  const auto plan = plan_of(value);
  const auto write = [&](std::size_t i) {
    return blobs.write_chunk(plan.blob.id, i, ByteSpan(value).subspan(i * kChunkBytes, std::min(kChunkBytes, value.size() - i * kChunkBytes)));
  };
  REQUIRE(blobs.begin_unsynced(plan.blob, plan.hashes));
  REQUIRE(write(0));
  CHECK(blobs.write_chunk(plan.blob.id, 1, ByteSpan(value).first(kChunkBytes)).error().code == ErrorCode::kInvalidMessage);
  CHECK(blobs.finish_partial(plan.blob.id).error().code == ErrorCode::kUnavailable);
  CHECK(*blobs.begin_unsynced(plan.blob, plan.hashes) == std::vector<bool>{true, false, false});
  REQUIRE(write(1));
  REQUIRE(write(2));
  Bytes back(value.size());
  REQUIRE(blobs.read_written(plan.blob.id, 0, back));
  CHECK(back == value);
  CHECK_FALSE(blobs.has(plan.blob.id));
  CHECK(*blobs.begin_partial(plan.blob, plan.hashes) == std::vector<bool>(3, true));
  REQUIRE(blobs.finish_partial(plan.blob.id));
  CHECK(*blobs.get(plan.blob.id) == value);
  REQUIRE(blobs.erase(plan.blob.id));
  REQUIRE(blobs.begin_unsynced(plan.blob, plan.hashes));
  blobs.drop_partial(plan.blob.id);
  CHECK(write(0).error().code == ErrorCode::kNotFound);
}

TEST_CASE("blob files: the places of dropped values serve the next ones, which read nothing of them") {
  TemporaryFolder folder;
  const auto blobs = *open_blob_files(folder.path());
  const auto value_of = [](std::uint8_t mark) {
    Bytes value = blob_value(kChunkBytes + 9);
    value[0] = value[kChunkBytes] = mark;
    return value;
  };
  const auto begin = [&](const Bytes& value) { REQUIRE(blobs->begin_unsynced(plan_of(value).blob, plan_of(value).hashes)); };
  const auto write = [&](const Bytes& value, std::size_t i) {
    const std::size_t at = i * kChunkBytes;
    REQUIRE(blobs->write_chunk(plan_of(value).blob.id, i, ByteSpan(value).subspan(at, std::min(kChunkBytes, value.size() - at))));
  };
  const auto bytes_on_disk = [&] {
    std::uint64_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder.path() + "/tmp")) bytes += file.file_size();
    return bytes;
  };
  const Bytes first = value_of(1), other = value_of(2), next = value_of(3), longer = blob_value(12 * kChunkBytes);
  for (const Bytes& value : {first, other}) begin(value);
  for (const std::size_t i : {0, 1}) write(first, i);
  write(other, 0);
  const std::uint64_t before = bytes_on_disk();
  blobs->drop_partial(plan_of(first).blob.id);
  begin(next);
  CHECK(*blobs->begin_unsynced(plan_of(next).blob, plan_of(next).hashes) == std::vector<bool>(2, false));

  const Digest id = plan_of(next).blob.id;
  Bytes back(next.size());
  CHECK(blobs->read_written(id, 0, back).error().code == ErrorCode::kCorrupted);
  write(next, 1);
  CHECK(blobs->read_written(id, 0, back).error().code == ErrorCode::kCorrupted);
  CHECK(blobs->read_written(id, kChunkBytes, std::span(back).first(9)));
  CHECK(blobs->finish_partial(id).error().code == ErrorCode::kUnavailable);
  write(next, 0);
  write(next, 0);  // again: nothing
  CHECK(bytes_on_disk() <= before + kChunkBytes - 9);  // in the same two places
  REQUIRE(blobs->read_written(id, 0, back));
  CHECK(back == next);
  CHECK(blobs->read_written(id, 1, back).error().code == ErrorCode::kInvalidArgument);
  REQUIRE(blobs->finish_partial(id));
  CHECK(*blobs->get(id) == next);

  begin(longer);  // in more files than one
  for (std::size_t i = 12; i-- > 0;) write(longer, i);
  Bytes part(3 * kChunkBytes + 1);
  REQUIRE(blobs->read_written(plan_of(longer).blob.id, 5 * kChunkBytes - 7, part));
  CHECK(std::equal(part.begin(), part.end(), longer.begin() + static_cast<long>(5 * kChunkBytes - 7)));
  CHECK(bytes_on_disk() > 0);
  blobs->drop_partial(plan_of(longer).blob.id);
  blobs->drop_partial(plan_of(other).blob.id);  // the last one: nothing is kept for nobody
  CHECK(std::filesystem::is_empty(folder.path() + "/tmp"));
  CHECK(std::filesystem::is_empty(folder.path() + "/partial"));
}

TEST_CASE("blob files: a restart leaves nothing of an unsynced value") {
  TemporaryFolder folder;
  const Bytes value = blob_value(kChunkBytes + 9);
  const auto plan = plan_of(value);
  {
    const auto blobs = *open_blob_files(folder.path());
    REQUIRE(blobs->begin_unsynced(plan.blob, plan.hashes));
    REQUIRE(blobs->write_chunk(plan.blob.id, 0, ByteSpan(value).first(kChunkBytes)));
    CHECK_FALSE(std::filesystem::is_empty(folder.path() + "/tmp"));
    std::filesystem::copy(folder.path() + "/tmp/chunks0", folder.path() + "/killed");  // as a killed process leaves it
  }
  std::filesystem::rename(folder.path() + "/killed", folder.path() + "/tmp/chunks0");
  const auto blobs = *open_blob_files(folder.path());
  CHECK(std::filesystem::is_empty(folder.path() + "/tmp"));
  CHECK(std::filesystem::is_empty(folder.path() + "/partial"));
}
