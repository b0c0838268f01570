// Known answers, bad ones included, made apart from Covey by tests/vectors/make_secagg_vectors.py.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "privacy/secagg_client.h"

namespace covey {
namespace {

using Json = nlohmann::json;

const Json& vectors() {
  static const Json json = Json::parse(std::ifstream(COVEY_SOURCE_DIR "/tests/vectors/secagg/vectors.json"));
  return json;
}
Bytes bytes_at(const Json& json, const char* name) { return *from_hex(json.at(name).get<std::string>()); }
template <class Fixed>
Fixed fixed_at(const Json& json, const char* name) {
  return *fixed_from<Fixed>(bytes_at(json, name));
}
Secret<32> secret_of(const std::string& text) { return Secret<32>(fixed_from_hex<Digest>(text)->bytes); }
template <class Fixed>
Fixed fixed_in(const Json& json, std::size_t i) {
  return *fixed_from_hex<Fixed>(json.at(i).get<std::string>());
}

std::vector<Share> shares_of(const Json& json) {
  std::vector<Share> shares;
  for (const Json& s : json) {
    Share share;
    share.x = s.at("x");
    const Bytes value = bytes_at(s, "value");
    REQUIRE(value.size() == kShareBytes);
    std::copy(value.begin(), value.end(), share.value.expose().begin());
    shares.push_back(std::move(share));
  }
  return shares;
}

TEST_CASE("vectors: keystreams, from any offset") {
  for (const Json& v : vectors().at("keystreams")) {
    Prg stream(secret_of(v.at("seed")), v.at("cipher") == "chacha20" ? PrgCipher::kChaCha20 : PrgCipher::kAes256Ctr);
    stream.seek(v.at("offset"));
    Bytes got(40);
    stream.fill(got);
    CHECK(got == bytes_at(v, "bytes"));
  }
}

TEST_CASE("vectors: masked vectors") {
  for (const Json& v : vectors().at("masks")) {
    const auto values = v.at("values").get<std::vector<std::int64_t>>();
    MaskPlan plan;
    plan.vectors.resize(3);
    plan.vectors[2] = {v.at("name"), v.at("width"), values.size()};
    for (const Json& s : v.at("seeds"))
      plan.seeds.push_back({secret_of(s.at("seed")), s.at("minus").get<bool>() ? Sign::kMinus : Sign::kPlus});
    const Ring ring = *Ring::of_width(v.at("width"));
    auto words = pack(values, ring);
    apply_masks({words, 0}, terms_of(plan, 2), ring, PrgCipher::kAes256Ctr);
    Bytes got(words.size() * 8);
    for (std::size_t i = 0; i < got.size(); ++i) got[i] = static_cast<std::uint8_t>(words[i / 8] >> (8 * (i % 8)));
    CHECK(got == bytes_at(v, "masked"));
  }
}

TEST_CASE("vectors: shares, and those that open nothing") {
  for (const Json& v : vectors().at("shamir").at("valid")) {
    const auto shares = shares_of(v.at("shares"));
    const auto opened = open_correcting(shares, v.at("threshold"));
    REQUIRE(opened.has_value());
    CHECK(opened->secret.equals(secret_of(v.at("secret"))));
    CHECK(opened->wrong == v.value("wrong", std::vector<std::uint32_t>{}));
    CHECK(open_exactly(shares, v.at("threshold")).has_value() == opened->wrong.empty());
  }
  for (const Json& v : vectors().at("shamir").at("invalid")) {
    INFO(v.at("why").get<std::string>());
    const auto shares = shares_of(v.at("shares"));
    CHECK_FALSE(open_exactly(shares, v.at("threshold")).has_value());
    CHECK_FALSE(open_correcting(shares, v.at("threshold")).has_value());
  }
}

TEST_CASE("vectors: a pair's mask seed, sealed shares and commitments") {
  for (const Json& v : vectors().at("pairs")) {
    const AttemptId id{fixed_at<Digest>(v, "sid"), fixed_at<RosterRoot>(v, "root")};
    RosterEntry entries[2];
    const AgreementKey keys[2] = {AgreementKey::from_secret(secret_of(v.at("secrets").at(0))),
                                  AgreementKey::from_secret(secret_of(v.at("secrets").at(1)))};
    for (std::size_t i = 0; i < 2; ++i) {
      entries[i].credential.subject = fixed_in<SubjectId>(v.at("subjects"), i);
      entries[i].sealing_key = fixed_in<RistrettoPoint>(v.at("sealing_keys"), i);
      entries[i].masking_key = keys[i].public_key();
    }
    const Digest maskers = hash_of(*MemberSet::from_bits(v.at("members"), bytes_at(v, "set")));
    CHECK(maskers == fixed_at<Digest>(v, "maskers"));
    for (std::size_t i = 0; i < 2; ++i) {
      const auto shared = keys[i].shared_secret(keys[1 - i].public_key());
      CHECK(mask_seed(id, entries[i], entries[1 - i], *shared, maskers).equals(secret_of(v.at("seed"))));
    }
    CHECK(self_mask_commitment(id, 7, secret_of(v.at("self_mask"))) == fixed_at<Digest>(v, "commitment"));
    const Secret<32> point = secret_of(v.at("point"));
    CHECK(sealing_key(id, entries[0], entries[1], point).equals(secret_of(v.at("sealing_key"))));
    CHECK_FALSE(sealing_key(id, entries[1], entries[0], point).equals(secret_of(v.at("sealing_key"))));
    SealedShares sealed = fixed_at<SealedShares>(v, "sealed");
    const auto opened = open_shares({id, entries[0], entries[1], 4, 9}, sealed, point);
    REQUIRE(opened.has_value());
    Bytes text(opened->masking_key.value.expose().begin(), opened->masking_key.value.expose().end());
    text.insert(text.end(), opened->self_mask.value.expose().begin(), opened->self_mask.value.expose().end());
    CHECK(text == bytes_at(v, "text"));
    CHECK(opened->masking_key.x == 10);
    CHECK_FALSE(open_shares({id, entries[0], entries[1], 9, 4}, sealed, point).has_value());
    CHECK_FALSE(open_shares({id, entries[1], entries[0], 4, 9}, sealed, point).has_value());
    sealed.bytes[119] ^= 1;
    CHECK_FALSE(open_shares({id, entries[0], entries[1], 4, 9}, sealed, point).has_value());
  }
}

TEST_CASE("vectors: trees of sealed shares, and a path for every leaf") {
  for (const Json& v : vectors().at("trees")) {
    std::vector<SealedShares> leaves;
    for (std::size_t i = 0; i < v.at("leaves").size(); ++i) leaves.push_back(fixed_in<SealedShares>(v.at("leaves"), i));
    const Digest root = fixed_at<Digest>(v, "root");
    CHECK(merkle_root(leaves) == root);
    const auto count = static_cast<std::uint32_t>(leaves.size());
    for (std::uint32_t i = 0; i < count; ++i) {
      auto path = merkle_path(leaves, i);
      CHECK(root_of_path(leaf_hash(leaves[i]), i, count, path) == root);
      CHECK(root_of_path(leaf_hash(leaves[i]), count, count, path) == std::nullopt);
      path.push_back({});
      CHECK(root_of_path(leaf_hash(leaves[i]), i, count, path) == std::nullopt);
    }
  }
}

TEST_CASE("vectors: the order of the ring") {
  const Json& v = vectors().at("ring");
  const auto order = ring_order({fixed_at<Digest>(v, "sid"), fixed_at<RosterRoot>(v, "root")},
                                static_cast<std::uint32_t>(v.at("order").size()));
  REQUIRE(order.has_value());
  CHECK(*order == v.at("order").get<std::vector<std::uint32_t>>());
}

TEST_CASE("vectors: messages, and what is none") {
  for (const Json& v : vectors().at("messages").at("valid")) {
    const Bytes bytes = *from_hex(v.get<std::string>());
    const auto message = decode_secagg_message(bytes);
    REQUIRE_MESSAGE(message.has_value(), message.error().message);
    CHECK(encode(*message) == bytes);
    for (std::size_t length = 0; length < bytes.size(); ++length)
      CHECK_FALSE(decode_secagg_message(ByteSpan(bytes).first(length)).has_value());
  }
  for (const Json& v : vectors().at("messages").at("invalid")) {
    INFO(v.at("why").get<std::string>());
    const auto message = decode_secagg_message(bytes_at(v, "bytes"));
    REQUIRE_FALSE(message.has_value());
    CHECK(message.error().code == ErrorCode::kInvalidMessage);
  }
}

}  // namespace
}  // namespace covey
