#include "core/base/wire.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

struct Record {
  std::uint8_t small = 0;
  std::uint32_t medium = 0;
  std::uint64_t large = 0;
  double real = 0;
  bool flag = false;
  Instant when{};
  std::string text;
  Bytes blob;
  Digest digest;
  std::vector<std::uint64_t> list;
  bool operator==(const Record&) const = default;
};

Bytes encode(const Record& r) {
  ByteWriter writer;
  writer.u8(r.small).u32(r.medium).u64(r.large).f64(r.real).boolean(r.flag).instant(r.when);
  writer.text(r.text).blob(r.blob).fixed(r.digest).u32(static_cast<std::uint32_t>(r.list.size()));
  for (const std::uint64_t value : r.list) writer.u64(value);
  return writer.take();
}

Result<Record> decode(ByteSpan bytes) {
  ByteReader reader(bytes);
  Record r;
  r.small = reader.u8();
  r.medium = reader.u32();
  r.large = reader.u64();
  r.real = reader.f64();
  r.flag = reader.boolean();
  r.when = reader.instant();
  r.text = reader.text();
  const ByteSpan blob = reader.blob();
  r.blob.assign(blob.begin(), blob.end());
  r.digest = reader.fixed<Digest>();
  const std::size_t count = reader.count(8);
  for (std::size_t i = 0; i < count; ++i) r.list.push_back(reader.u64());
  COVEY_TRY_VOID(reader.finish("record"));
  return r;
}

Record sample() {
  Record r{0xab, 0xdeadbeef, 0x0123456789abcdef, -0.5, true, instant_of_nanos(-7), "gr\xc3\xbc\xc3\x9f", {1, 0, 2}, {}, {5, 6, 7}};
  r.digest.bytes.fill(0x11);
  return r;
}

}  // namespace

TEST_CASE("wire: little-endian, length-prefixed") {
  CHECK(hex(ByteWriter().u32(0x01020304).text("ab").boolean(true).f64(1.0).take()) ==
        "04030201" "02000000" "6162" "01" "000000000000f03f");
}

TEST_CASE("wire: a record comes back as it was") {
  const auto decoded = decode(encode(sample()));
  REQUIRE(decoded);
  CHECK(*decoded == sample());
  CHECK(*decode(encode(Record{})) == Record{});
}

TEST_CASE("wire: every truncation and every extra byte is refused") {
  const Bytes bytes = encode(sample());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<long>(n));  // own memory: overruns show
    const auto decoded = decode(cut);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == ErrorCode::kCorrupted);
    CHECK(decoded.error().message.find("record") == 0);
  }
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK(decode(longer).error().message == "record has 1 bytes too many");
}

TEST_CASE("wire: a boolean is 0 or 1") {
  const Bytes two{2};
  ByteReader reader(two);
  CHECK_FALSE(reader.boolean());
  CHECK(reader.failed());
  const auto finished = reader.finish("flag");
  REQUIRE_FALSE(finished.has_value());
  CHECK(finished.error().code == ErrorCode::kCorrupted);
}

TEST_CASE("wire: hostile lengths and counts allocate nothing and fail") {
  const Bytes lie = ByteWriter().u32(0xffffffff).u32(1).take();
  ByteReader blob(lie);
  CHECK(blob.blob().empty());
  CHECK(blob.failed());
  ByteReader count(lie);
  CHECK(count.count(1) == 0);
  CHECK(count.failed());
  CHECK(count.u32() == 0);  // nothing more can be read
  CHECK_FALSE(count.finish("list").has_value());
  ByteReader raw(lie);
  CHECK(raw.raw(~std::size_t{0}).empty());
  CHECK(raw.failed());
  const Bytes exact = ByteWriter().u32(2).u32(7).u32(8).take();
  ByteReader fits(exact);
  CHECK(fits.count(4) == 2);
  CHECK_FALSE(fits.failed());
}
