#include "core/protocol/withdrawals.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace covey;

namespace {

SigningKey key(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return SigningKey::from_seed(Secret<32>(seed));
}
const SigningKey& authority() {
  static const SigningKey made = key(1);
  return made;
}
Withdrawals with(const std::vector<std::uint8_t>& some) {
  Withdrawals list;
  for (const std::uint8_t n : some) list = withdraw(list, key(n).public_key(), authority()).value();
  return list;
}
void resign(Withdrawals& list) { list.signature = authority().sign(kWithdrawalsDomain, signed_bytes(list)); }

}  // namespace

TEST_CASE("withdrawals: a list grows by one number a key, is the authority's, and comes back from its bytes") {
  const Withdrawals list = with({7, 5, 9});
  CHECK(list.number == 3);
  CHECK(list.epoch == kCredentialEpochFirst);
  CHECK(std::is_sorted(list.keys.begin(), list.keys.end()));
  for (const std::uint8_t n : std::vector<std::uint8_t>{5, 7, 9}) CHECK(names(list, key(n).public_key()));
  CHECK_FALSE(names(list, key(6).public_key()));
  CHECK(verify(list, authority().public_key()).has_value());
  CHECK_FALSE(verify(list, key(2).public_key()).has_value());
  const auto again = decode_withdrawals(encode(list));
  REQUIRE(again.has_value());
  CHECK(*again == list);
  CHECK(withdraw(list, key(5).public_key(), authority())->keys == list.keys);
}

TEST_CASE("withdrawals: the root is zeros before the first list, and of no two lists the same") {
  CHECK(root_of(Withdrawals{}).is_zero());
  const Withdrawals one = with({5}), two = with({5, 6});
  CHECK_FALSE(root_of(one).is_zero());
  CHECK(root_of(one) != root_of(two));
  Withdrawals renumbered = one;
  renumbered.number = 2;
  CHECK(root_of(renumbered) != root_of(one));
}

TEST_CASE("withdrawals: a new epoch begins with an empty list, and follows; what takes anything back does not") {
  const Withdrawals held = with({5, 6});
  const Withdrawals next = begin_epoch(held, authority()).value();
  CHECK(next.number == 3);
  CHECK(next.epoch == 2);
  CHECK(next.keys.empty());
  CHECK(follows(next, held).has_value());
  CHECK(follows(held, Withdrawals{}).has_value());

  const auto refused = [&](const Withdrawals& list, const Withdrawals& before, const std::string& words) {
    const auto verdict = follows(list, before);
    REQUIRE_FALSE(verdict.has_value());
    CHECK_MESSAGE(verdict.error().message.find(words) != std::string::npos, verdict.error().message);
  };
  refused(held, held, "not newer");
  refused(held, next, "not newer");
  Withdrawals lower = held;
  lower.number = 4;
  refused(lower, next, "credential epoch 1 is below 2");
  Withdrawals shorter = with({5});
  shorter.number = 9;
  refused(shorter, held, "leaves out a key");
}

TEST_CASE("withdrawals: malformed bytes, numbers, epochs and orders are refused") {
  const auto refused = [](const Withdrawals& list) {
    const auto read = decode_withdrawals(encode(list));
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == ErrorCode::kCorrupted);
  };
  const Withdrawals good = with({5, 6});
  Withdrawals bad = good;
  std::swap(bad.keys[0], bad.keys[1]);
  refused(bad);
  bad.keys[0] = bad.keys[1];
  refused(bad);
  for (const auto& [number, epoch] : {std::pair{0U, 1U}, {kWithdrawalNumberMax + 1, 1U}, {1U, 0U}, {1U, kCredentialEpochMax + 1}}) {
    bad = good;
    bad.number = number;
    bad.epoch = epoch;
    refused(bad);
  }
  bad = good;
  bad.keys.resize(kWithdrawnKeysMax + 1);
  refused(bad);
  Bytes bytes = encode(good);
  bytes.push_back(0);
  CHECK_FALSE(decode_withdrawals(bytes).has_value());
  bytes.resize(bytes.size() - 2);
  CHECK_FALSE(decode_withdrawals(bytes).has_value());
  bytes = encode(good);
  bytes[0] = 2;
  CHECK_FALSE(decode_withdrawals(bytes).has_value());
}

TEST_CASE("withdrawals: a full list says that the next epoch empties it") {
  Withdrawals full;
  for (std::size_t i = 0; i < kWithdrawnKeysMax; ++i) {
    VerifyKey one;
    one.bytes[0] = static_cast<std::uint8_t>(i);
    one.bytes[1] = 1;
    full.keys.push_back(one);
  }
  full.number = 256;
  resign(full);
  REQUIRE(decode_withdrawals(encode(full)).has_value());
  const auto more = withdraw(full, key(5).public_key(), authority());
  REQUIRE_FALSE(more.has_value());
  CHECK(more.error().code == ErrorCode::kResourceExhausted);
  CHECK(more.error().message.find("covey vouch --new-epoch") != std::string::npos);
  CHECK(begin_epoch(full, authority())->keys.empty());
}
