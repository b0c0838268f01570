#include <doctest/doctest.h>

#include <type_traits>

#include "core/crypto/agreement_key.h"
#include "core/crypto/curve_key.h"
#include "core/crypto/primitives.h"
#include "core/crypto/signing_key.h"
#include "core/crypto/z85.h"
#include "tests/core/crypto/fixed_random.h"

using namespace covey;

namespace {

template <std::size_t N>
Secret<N> secret_of(std::string_view text) {
  const Bytes bytes = *from_hex(text);
  COVEY_CHECK(bytes.size() == N);
  return Secret<N>(std::span<const std::uint8_t, N>(bytes));
}

}  // namespace

TEST_CASE("secret: moved but never copied, wiped when it goes") {
  static_assert(!std::is_copy_constructible_v<Secret<32>> && !std::is_copy_assignable_v<Secret<32>>);
  CountingRandom random;
  Secret<32> first = Secret<32>::random(random);
  CHECK(first.expose()[31] == 31);
  Secret<32> copy = first.clone();
  CHECK(copy.equals(first));
  const Secret<32> second = std::move(first);
  CHECK(second.equals(copy));
  CHECK(first.equals(Secret<32>()));
  copy.expose()[5] ^= 1;
  CHECK_FALSE(second.equals(copy));

  alignas(Secret<32>) std::array<std::uint8_t, sizeof(Secret<32>)> memory{};
  auto* placed = new (memory.data()) Secret<32>(second.clone());
  CHECK(memory[31] == 31);
  placed->~Secret();
  bool all_zero = true;
  for (volatile const std::uint8_t& byte : memory) all_zero = all_zero && byte == 0;
  CHECK(all_zero);
}

TEST_CASE("x25519: with many at once as with each, whatever the keys and however many") {
  SystemRandom random;
  const AgreementKey key = AgreementKey::generate(random);
  std::vector<AgreementPublicKey> peers(60);
  for (AgreementPublicKey& peer : peers) random.fill(peer.bytes);
  for (std::uint8_t n = 0; n < 40; ++n) {  // about 2^255 - 19, where the field begins anew, with the unused bit set and not
    peers[n].bytes.fill(0xff);
    peers[n].bytes[0] = static_cast<std::uint8_t>(0xda + n / 2);
    peers[n].bytes[31] = n % 2 == 0 ? 0x7f : 0xff;
  }
  peers[40].bytes = {2};
  std::erase_if(peers, [&](const AgreementPublicKey& peer) { return !key.shared_secret(peer); });  // of small order
  REQUIRE(peers.size() > 50);
  for (const std::size_t count : {peers.size(), std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{17}}) {
    const auto all = key.shared_secrets(std::span(peers).first(count));
    REQUIRE(all.has_value());
    REQUIRE(all->size() == count);
    for (std::size_t i = 0; i < count; ++i) CHECK((*all)[i].equals(*key.shared_secret(peers[i])));
  }
}

TEST_CASE("x25519: many agree with thousands of random keys, and one of small order is named") {
  SystemRandom random;
  for (int run = 0; run < 40; ++run) {
    const AgreementKey key = AgreementKey::generate(random);
    std::vector<AgreementPublicKey> peers;
    for (int i = 0; i < 50; ++i) peers.push_back(AgreementKey::generate(random).public_key());
    const auto all = key.shared_secrets(peers);
    REQUIRE(all.has_value());
    for (std::size_t i = 0; i < peers.size(); ++i) CHECK((*all)[i].equals(*key.shared_secret(peers[i])));
    const AgreementPublicKey zero;
    peers[static_cast<std::size_t>(run)] = zero;
    const auto refused = key.shared_secrets(peers);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find(short_hex(zero)) != std::string::npos);
  }
}

TEST_CASE("ed25519: RFC 8032, section 7.1") {
  struct Vector {
    const char *seed, *public_key, *message, *signature;
  };
  const Vector vectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
       "d25bf5f0595bbe24655141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
       "387b2eaeb4302aeeb00d291612bb0c00"}};
  for (const Vector& v : vectors) {
    const auto made = primitives::ed25519_pair(secret_of<32>(v.seed).expose());
    CHECK(hex(made.public_key) == v.public_key);
    const Bytes message = *from_hex(v.message);
    auto signature = primitives::ed25519_sign(made.pair, message);
    CHECK(hex(signature) == v.signature);
    CHECK(primitives::ed25519_verify(made.public_key, message, signature));
    signature[40] ^= 1;
    CHECK_FALSE(primitives::ed25519_verify(made.public_key, message, signature));
  }
}

TEST_CASE("ed25519: a signature whose scalar is not reduced is refused") {
  const auto made = primitives::ed25519_pair(Secret<32>().expose());
  auto signature = primitives::ed25519_sign(made.pair, bytes_of("m"));
  // S + L verifies by the plain equation; RFC 8032 section 5.1.7 wants S < L.
  const Bytes order = *from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned sum = signature[32 + i] + order[i] + carry;
    signature[32 + i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
  }
  CHECK_FALSE(primitives::ed25519_verify(made.public_key, bytes_of("m"), signature));
}

TEST_CASE("signing key: verifies only its own message, domain and key") {
  CountingRandom random;
  const SigningKey key = SigningKey::generate(random);
  const SigningKey other = SigningKey::generate(random);
  const Bytes message{1, 2, 3};
  const Signature signature = key.sign("join", message);
  CHECK(verify(key.public_key(), "join", message, signature));
  CHECK_FALSE(verify(key.public_key(), "audit", message, signature));
  CHECK_FALSE(verify(key.public_key(), "join", Bytes{1, 2}, signature));
  CHECK_FALSE(verify(other.public_key(), "join", message, signature));
  CHECK_FALSE(verify(key.public_key(), "join", message, Signature{}));
  CHECK_FALSE(verify(VerifyKey{}, "join", message, signature));  // a point of small order
  // The border between domain and message cannot be moved.
  CHECK_FALSE(verify(key.public_key(), "joi", ByteSpan(bytes_of("n\x01\x02\x03")), signature));
  CHECK(SigningKey::from_seed(key.seed().clone()).public_key() == key.public_key());
  CHECK(SigningKey::from_seed(key.seed().clone()).sign("join", message) == signature);
}

TEST_CASE("x25519: RFC 7748, section 6.1") {
  const auto alice = AgreementKey::from_secret(
      secret_of<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto bob = AgreementKey::from_secret(
      secret_of<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  CHECK(hex(alice.public_key().span()) == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  CHECK(hex(bob.public_key().span()) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const auto shared = alice.shared_secret(bob.public_key());
  REQUIRE(shared);
  CHECK(hex(shared->expose()) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  CHECK(shared->equals(*bob.shared_secret(alice.public_key())));
}

TEST_CASE("x25519: keys of small order are refused") {
  CountingRandom random;
  const AgreementKey key = AgreementKey::generate(random);
  for (const char* text : {"0000000000000000000000000000000000000000000000000000000000000000",
                           "0100000000000000000000000000000000000000000000000000000000000000",
                           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    CAPTURE(text);
    const auto shared = key.shared_secret(*fixed_from_hex<AgreementPublicKey>(text));
    REQUIRE_FALSE(shared);
    CHECK(shared.error().code == ErrorCode::kInvalidMessage);
  }
}

TEST_CASE("z85: ZeroMQ RFC 32's example, and bad texts") {
  CHECK(z85(*from_hex("864fd26fb559f75b")) == "HelloWorld");
  CHECK(hex(*from_z85("HelloWorld")) == "864fd26fb559f75b");
  CHECK(z85(*from_hex("ffffffff00000000")) == "%nSc000000");
  for (const char* text : {"Hell", "HelloWorl", "Hell\"", "Hell ", "Hell\xff", "%nSc1", "#####"}) {
    CAPTURE(text);
    const auto bytes = from_z85(text);
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().code == ErrorCode::kInvalidData);
  }
}

TEST_CASE("curve key: the pairs in ZeroMQ's manual") {
  const std::pair<const char*, const char*> pairs[] = {
      {"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"},
      {"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs", "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"}};
  for (const auto& [secret, public_key] : pairs) {
    const auto key = CurveKey::from_secret_z85(secret);
    REQUIRE(key);
    CHECK(z85_of(key->public_key()) == public_key);
    CHECK(*peer_key_from_z85(public_key) == key->public_key());
    CHECK(text_of(key->secret_z85().expose()) == secret);
  }
  CHECK_FALSE(CurveKey::from_secret_z85("JTKVS").has_value());
  CHECK_FALSE(peer_key_from_z85("").has_value());
  CountingRandom random;
  const CurveKey made = CurveKey::generate(random);
  CHECK(CurveKey::from_secret(made.secret().clone()).public_key() == made.public_key());
}
