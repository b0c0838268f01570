#include "core/store/store.h"

#include <doctest/doctest.h>

#include "tests/core/base/temporary_folder.h"

using namespace covey;

// What every store promises, in memory or on disk.
namespace {

struct InMemory {
  MemoryStore memory;
  Store& store() { return memory; }
};

struct OnDisk {
  TemporaryFolder folder;
  std::unique_ptr<Store> opened = *open_rocks_store(folder.path());
  Store& store() { return *opened; }
};

Bytes value_of(std::string_view text) {
  const ByteSpan bytes = bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> keys_of(Store& store, std::string_view prefix) {
  std::vector<std::string> keys;
  const auto rows = store.scan(prefix);
  REQUIRE(rows);
  for (const Row& row : *rows) keys.push_back(row.key);
  return keys;
}

}  // namespace

TEST_CASE_TEMPLATE("store: what was written is read, and what is missing is nothing", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  Store& store = fixture.store();
  const auto missing = store.get("a");
  REQUIRE(missing);
  CHECK_FALSE(missing->has_value());
  Batch batch;
  batch.put("a", value_of("1"));
  batch.put("empty", {});
  REQUIRE(store.write(batch));
  CHECK(**store.get("a") == value_of("1"));
  const auto empty = store.get("empty");
  REQUIRE(empty);
  REQUIRE(empty->has_value());
  CHECK((*empty)->empty());
  CHECK(store.write(Batch()));
  CHECK(store.scan("")->size() == 2);
}

TEST_CASE_TEMPLATE("store: a batch puts in order and then deletes", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  Store& store = fixture.store();
  Batch batch;
  batch.erase("gone");
  batch.erase("never there");
  batch.put("twice", value_of("first"));
  batch.put("twice", value_of("second"));
  batch.put("gone", value_of("x"));
  REQUIRE(store.write(batch));
  CHECK(**store.get("twice") == value_of("second"));
  CHECK_FALSE(store.get("gone")->has_value());
}

TEST_CASE_TEMPLATE("store: a scan is ordered by unsigned bytes and keeps to its prefix", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  Store& store = fixture.store();
  const std::string ff = "\xff";
  Batch batch;
  for (const std::string& key : {std::string("b"), std::string("a/2"), std::string("a/10"), std::string("a"), ff + ff + "x", ff,
                                 std::string("a/\x80"), std::string("a/\x7f"), std::string("a0"),
                                 ff + std::string(1, '\0'), std::string("a/") + ff + ff, ff + ff})
    batch.put(key, value_of(key));
  REQUIRE(store.write(batch));
  CHECK(keys_of(store, "a/") == std::vector<std::string>{"a/10", "a/2", "a/\x7f", "a/\x80", "a/" + ff + ff});
  CHECK(keys_of(store, "a/" + ff) == std::vector<std::string>{"a/" + ff + ff});
  CHECK(keys_of(store, ff) == std::vector<std::string>{ff, ff + std::string(1, '\0'), ff + ff, ff + ff + "x"});
  CHECK(keys_of(store, ff + ff) == std::vector<std::string>{ff + ff, ff + ff + "x"});
  CHECK(keys_of(store, "none").empty());
  CHECK(keys_of(store, "").size() == 12);
  CHECK(store.scan("b")->front() == Row{"b", value_of("b")});
}

TEST_CASE_TEMPLATE("store: keys and values may hold any byte and be large", Fixture, InMemory, OnDisk) {
  Fixture fixture;
  Store& store = fixture.store();
  const std::string key("k\0\n\xff", 4);
  Bytes large(3 << 20);
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::uint8_t>(i * i >> 3);
  Batch batch;
  batch.put(key, large);
  REQUIRE(store.write(batch));
  CHECK(**store.get(key) == large);
  CHECK_FALSE(store.get("k")->has_value());
}
