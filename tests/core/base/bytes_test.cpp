#include "core/base/bytes.h"

#include <doctest/doctest.h>

#include "core/base/blob_store.h"
#include "core/base/secure_random.h"

using namespace covey;

TEST_CASE("hex: both ways, either case") {
  const Bytes bytes{0x00, 0x7f, 0x80, 0xff, 0x0a};
  CHECK(hex(bytes) == "007f80ff0a");
  CHECK(*from_hex("007f80FF0A") == bytes);
  CHECK(hex({}).empty());
  CHECK(from_hex("")->empty());
}

TEST_CASE("hex: bad input is refused without being repeated") {
  for (const char* text : {"0", "0g", "g0", " 00", "00 ", "0x00", "00\n1", "\xff\xff"}) {
    CAPTURE(text);
    const auto bytes = from_hex(text);
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().code == ErrorCode::kInvalidData);
  }
  CHECK(from_hex("secret").error().message.find("secret") == std::string::npos);
  CHECK(fixed_from_hex<Digest>("00").error().message == "expected 32 bytes, got 1");
}

TEST_CASE("base64url: RFC 4648 section 10, without padding") {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"foob", "Zm9vYg"},
      {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    CHECK(base64url(bytes_of(plain)) == coded);
    CHECK(text_of(*from_base64url(coded)) == plain);
  }
  CHECK(base64url(Bytes{0xfb, 0xff, 0xbf}) == "-_-_");
}

TEST_CASE("base64url: every value has one text, and bad texts are refused") {
  for (const char* text : {"Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm 9v", "Zm9v\n", "\xc3\xa4", "AAAAA"}) {
    CAPTURE(text);
    CHECK_FALSE(from_base64url(text).has_value());
  }
  Bytes all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
  for (std::size_t n = 0; n <= all.size(); ++n)
    CHECK(*from_base64url(base64url(ByteSpan(all).first(n))) == Bytes(all.begin(), all.begin() + static_cast<long>(n)));
}

TEST_CASE("fixed bytes: compared by value, shortened for tables") {
  Digest digest;
  CHECK(digest.is_zero());
  digest.bytes[0] = 0xab;
  CHECK_FALSE(digest.is_zero());
  CHECK(short_hex(digest) == "ab0000000000");
  CHECK(Digest{} < digest);
  CHECK(*fixed_from_hex<Digest>(hex(digest.span())) == digest);
  CHECK(FixedBytesHash()(digest) == 0xab00000000000000U);
}

TEST_CASE("chunk count: exact at the edges, and for hostile sizes") {
  CHECK(chunk_count(0) == 0);
  CHECK(chunk_count(1) == 1);
  CHECK(chunk_count(kChunkBytes) == 1);
  CHECK(chunk_count(kChunkBytes + 1) == 2);
  CHECK(chunk_count(~std::uint64_t{0}) == std::uint64_t{1} << 46);
}

TEST_CASE("system random: fills everything, and differently each time") {
  SystemRandom random;
  Bytes a(1000);
  Bytes b(1000);
  random.fill(a);
  random.fill(b);
  CHECK(a != b);
  // 64 zero bytes in a row have a chance of 2^-512.
  CHECK(std::search_n(a.begin(), a.end(), 64, std::uint8_t{0}) == a.end());
  random.fill({});
}
