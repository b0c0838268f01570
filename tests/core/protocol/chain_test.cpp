#include "core/protocol/chain.h"

#include <doctest/doctest.h>

#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"

using namespace covey;

namespace {

SigningKey key_of(std::uint8_t seed) {
  Secret<32> bytes;
  bytes.expose()[0] = seed;
  return SigningKey::from_seed(std::move(bytes));
}

std::vector<ChainRecord> chain_of(std::size_t count, const SigningKey& key) {
  std::vector<ChainRecord> records;
  ChainReader reader(kAuditChain);
  for (std::size_t i = 0; i < count; ++i) {
    records.push_back(next_record(kAuditChain, reader.head(), Bytes(i + 1, static_cast<std::uint8_t>(i)), key));
    REQUIRE(reader.follow(records.back(), key.public_key()));
  }
  return records;
}

// Where a reader of all records stops, counted from 1; 0: nowhere.
std::size_t first_refused(const std::vector<ChainRecord>& records, const VerifyKey& key) {
  ChainReader reader(kAuditChain);
  for (std::size_t i = 0; i < records.size(); ++i)
    if (!reader.follow(records[i], key)) return i + 1;
  return 0;
}

AuditEntry some_entry() {
  AuditEntry entry{AuditKind::kReleased, instant_of_nanos(123456789), {7, 3, 2}, {}, {}, {}, 41, "why"};
  entry.actor.bytes[0] = 1;
  entry.who.bytes[1] = 2;
  entry.subject.bytes[2] = 3;
  return entry;
}

}  // namespace

TEST_CASE("a chain refuses a record that was changed, dropped, moved, or signed by another") {
  const SigningKey key = key_of(1), other = key_of(2);
  const std::vector<ChainRecord> good = chain_of(5, key);
  CHECK(first_refused(good, key.public_key()) == 0);
  CHECK(first_refused(good, other.public_key()) == 1);

  auto changed = good;
  changed[2].body[0] ^= 1;
  CHECK(first_refused(changed, key.public_key()) == 3);
  auto dropped = good;
  dropped.erase(dropped.begin() + 1);
  CHECK(first_refused(dropped, key.public_key()) == 2);
  auto moved = good;
  std::swap(moved[1], moved[2]);
  CHECK(first_refused(moved, key.public_key()) == 2);
  auto forged = good;
  forged[4] = next_record(kAuditChain, {4, good[4].previous}, Bytes{1}, other);
  CHECK(first_refused(forged, key.public_key()) == 5);
  auto resigned = good;  // by the right key, for the other chain
  resigned[4] = next_record(kLedgerChain, {4, good[4].previous}, good[4].body, key);
  CHECK(first_refused(resigned, key.public_key()) == 5);
}

TEST_CASE("without a key a chain still refuses what does not follow") {
  const SigningKey key = key_of(1);
  auto records = chain_of(3, key);
  records[1].body[0] ^= 1;
  ChainReader reader(kAuditChain);
  CHECK(reader.follow(records[0]));
  CHECK(reader.follow(records[1]));  // nobody vouches for the head but the record after it
  const auto refused = reader.follow(records[2]);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kCorrupted);
}

TEST_CASE("records and their bodies survive encoding, and every shorter form is refused") {
  const SigningKey key = key_of(1);
  const ChainRecord record = next_record(kAuditChain, {}, encode(some_entry()), key);
  const Bytes bytes = encode(record);
  CHECK(decode_chain_record(bytes).value() == record);
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_chain_record(ByteSpan(bytes).first(n)));

  const Bytes body = encode(some_entry());
  CHECK(decode_audit_entry(body).value() == some_entry());
  for (std::size_t n = 0; n < body.size(); ++n) CHECK_FALSE(decode_audit_entry(ByteSpan(body).first(n)));

  ReleaseRecord release{instant_of_nanos(5), {1, 2, 3}, 4, {}, {9, 8}};
  release.contributions.bytes[31] = 1;
  const Bytes encoded = encode(release);
  CHECK(decode_release_record(encoded).value() == release);
  for (std::size_t n = 0; n < encoded.size(); ++n) CHECK_FALSE(decode_release_record(ByteSpan(encoded).first(n)));
}

TEST_CASE("a roster's digest does not depend on its order, and says who is in it") {
  PeerKey a, b, c;
  a.bytes[0] = 1;
  b.bytes[0] = 2;
  c.bytes[0] = 3;
  CHECK(roster_digest({a, b}) == roster_digest({b, a}));
  CHECK(roster_digest({a, b}) != roster_digest({a, c}));
  CHECK(roster_digest({a, b}) != roster_digest({a, b, c}));
  CHECK(contributions_digest({{a, {{}, 1}}, {b, {{}, 2}}}) == contributions_digest({{b, {{}, 2}}, {a, {{}, 1}}}));
  CHECK(contributions_digest({{a, {{}, 1}}, {b, {{}, 2}}}) != contributions_digest({{a, {{}, 2}}, {b, {{}, 1}}}));
}
