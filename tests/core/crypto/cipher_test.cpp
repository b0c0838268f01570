#include <doctest/doctest.h>

#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/prg.h"
#include "core/crypto/primitives.h"
#include "tests/core/crypto/fixed_random.h"

using namespace covey;

namespace {

Secret<32> key_of(std::string_view text) {
  const Bytes bytes = *from_hex(text);
  COVEY_CHECK(bytes.size() == 32);
  return Secret<32>(std::span<const std::uint8_t, 32>(bytes));
}

std::string hkdf_hex(const char* key, const char* salt, const char* info, std::size_t length) {
  const Bytes key_bytes = *from_hex(key);
  const Bytes salt_bytes = *from_hex(salt);
  const Bytes info_bytes = *from_hex(info);
  Bytes out(length);
  hkdf_sha256({key_bytes, salt_bytes, info_bytes}, out);
  return hex(out);
}

}  // namespace

TEST_CASE("hkdf: RFC 5869, appendix A.1 to A.3") {
  const char* const key = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";
  CHECK(hkdf_hex(key, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42) ==
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  CHECK(hkdf_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
                 "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
                 "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f"
                 "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
                 "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                 "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
                 82) ==
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  CHECK(hkdf_hex(key, "", "", 42) ==
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("derive: another domain, context or key gives another key") {
  CountingRandom random;
  const auto key = Secret<32>::random(random);
  const auto other = Secret<32>::random(random);
  const Secret<32> base = derive(key, "mask", Bytes{1});
  CHECK(base.equals(derive(key, "mask", Bytes{1})));
  CHECK_FALSE(base.equals(derive(key, "mask", Bytes{2})));
  CHECK_FALSE(base.equals(derive(key, "noise", Bytes{1})));
  CHECK_FALSE(base.equals(derive(other, "mask", Bytes{1})));
  CHECK_FALSE(derive(key, "ab", bytes_of("c")).equals(derive(key, "a", bytes_of("bc"))));
  CHECK_FALSE(base.equals(key));
  CHECK(derive<64>(key, "wide").kSize == 64);
}

TEST_CASE("prg: NIST SP 800-38A, F.5.5 CTR-AES256") {
  const Secret<32> key = key_of("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  std::array<std::uint8_t, 16> counter{};
  for (std::size_t i = 0; i < counter.size(); ++i) counter[i] = static_cast<std::uint8_t>(0xf0 + i);
  const std::string plain =
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
  const std::string coded =
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6";
  Bytes bytes = *from_hex(plain);
  Prg(key, counter).xor_into(bytes);
  CHECK(hex(bytes) == coded);
  // The counter's last byte is 0xff, so the second block is after a carry.
  for (std::size_t from = 0; from < 64; ++from) {
    Bytes rest = *from_hex(std::string_view(plain).substr(2 * from));
    Prg prg(key, counter);
    prg.seek(from);
    prg.xor_into(rest);
    CHECK(hex(rest) == coded.substr(2 * from));
  }
}

TEST_CASE("prg: one stream, however it is read") {
  CountingRandom random;
  const auto seed = Secret<32>::random(random);
  Bytes whole(200000);
  Prg(seed).fill(whole);

  Bytes pieces(whole.size());
  Prg prg(seed);
  std::size_t at = 0;
  for (std::size_t step = 1; at < pieces.size(); step = step * 3 + 1) {
    const std::size_t n = std::min(step, pieces.size() - at);
    prg.fill(std::span(pieces).subspan(at, n));
    at += n;
  }
  CHECK(pieces == whole);

  Bytes twice = whole;
  Prg(seed).xor_into(twice);
  CHECK(twice == Bytes(whole.size()));

  for (const std::size_t offset : {0U, 1U, 15U, 16U, 17U, 32768U, 100003U, 199999U}) {
    prg.seek(offset);
    Bytes part(whole.size() - offset);
    prg.fill(part);
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<long>(offset)));
  }
  Bytes other(64);
  Prg(Secret<32>::random(random)).fill(other);
  CHECK_FALSE(std::equal(other.begin(), other.end(), whole.begin()));
  Prg moved = std::move(prg);
  moved.seek(0);
  moved.fill(other);
  CHECK(std::equal(other.begin(), other.end(), whole.begin()));
}

TEST_CASE("xchacha20-poly1305: draft-irtf-cfrg-xchacha-03, appendix A.3.1") {
  const Secret<32> key = key_of("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const Bytes nonce_bytes = *from_hex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const std::span<const std::uint8_t, 24> nonce(nonce_bytes);
  const Bytes associated = *from_hex("50515253c0c1c2c3c4c5c6c7");
  const ByteSpan text = bytes_of(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.");
  const Bytes sealed = primitives::xchacha_seal(key, {nonce, associated, text});
  CHECK(hex(sealed) ==
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
  const auto opened = primitives::xchacha_open(key, {nonce, associated, sealed});
  REQUIRE(opened);
  CHECK(text_of(*opened) == text_of(text));
}

TEST_CASE("aead: opens only unchanged, under the same key and context") {
  SystemRandom random;
  const auto key = Secret<32>::random(random);
  const Aead aead(key.clone());
  const Bytes data{1, 2};
  const AeadContext context{"share", data};
  const Bytes text{9, 8, 7, 6};
  const Bytes sealed = aead.seal(text, context, random);
  CHECK(sealed.size() == text.size() + kAeadOverheadBytes);
  CHECK(aead.seal(text, context, random) != sealed);  // a nonce each time
  CHECK(*aead.open(sealed, context) == text);
  CHECK(aead.open(aead.seal({}, context, random), context)->empty());

  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes changed = sealed;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    REQUIRE_FALSE(aead.open(changed, context).has_value());
  }
  for (std::size_t n = 0; n < sealed.size(); ++n)
    CHECK(aead.open(ByteSpan(sealed).first(n), context).error().code == ErrorCode::kInvalidMessage);
  const Bytes other_data{1};
  CHECK_FALSE(aead.open(sealed, {"share", other_data}).has_value());
  CHECK_FALSE(aead.open(sealed, {"other", data}).has_value());
  CHECK_FALSE(Aead(Secret<32>::random(random)).open(sealed, context).has_value());
}
