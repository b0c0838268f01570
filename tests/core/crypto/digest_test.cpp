#include "core/crypto/digest.h"

#include <doctest/doctest.h>

#include "core/base/blob_store.h"

using namespace covey;

TEST_CASE("sha256: FIPS 180-4 examples") {
  CHECK(hex(sha256({}).span()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256(bytes_of("abc")).span()) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).span()) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1000000, 'a');
  CHECK(hex(sha256(bytes_of(million)).span()) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces of any length give the hash of the whole") {
  Bytes bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
  for (const std::size_t piece : {1U, 63U, 64U, 65U, 999U, 1000U}) {
    Sha256 hash;
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      hash.update(ByteSpan(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    CHECK(hash.finish() == sha256(bytes));
  }
}

TEST_CASE("blake2b: 32-byte digests as by an independent implementation") {
  CHECK(hex(blake2b_256({}).span()) == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  CHECK(hex(blake2b_256(bytes_of("abc")).span()) ==
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST_CASE("blob id: as by an independent implementation, and bound to the size and each chunk") {
  Bytes value(300000);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  std::vector<Digest> chunks{chunk_digest(ByteSpan(value).first(kChunkBytes)),
                             chunk_digest(ByteSpan(value).subspan(kChunkBytes))};
  const Digest id = blob_id(value.size(), chunks);
  CHECK(hex(id.span()) == "972a650b57d0e244e80650846c1f02376a98189ec2d68822cb8990061caeb584");
  CHECK(hex(blob_id(0, {}).span()) == "f483b5741e7005946a503b5555341dd757f4f7cf602fee4e808c8d2fa66d2c9b");
  CHECK(blob_id(value.size() + 1, chunks) != id);
  std::swap(chunks[0], chunks[1]);
  CHECK(blob_id(value.size(), chunks) != id);
}
