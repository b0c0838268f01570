#include "coordinator/cli/audit_log.h"

#include <doctest/doctest.h>

#include "coordinator/cli/audit_view.h"

using namespace covey;
using namespace covey::cli;

namespace {

SigningKey key_of(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return SigningKey::from_seed(Secret<32>(seed));
}
const VerifyKey& verify_key() {
  static const VerifyKey key = key_of(1).public_key();
  return key;
}

// Writes both chains as a coordinator does.
struct Writer {
  AuditLog log;
  ChainReader audit{kAuditChain}, ledger{kLedgerChain};
  SigningKey key = key_of(1);

  Writer& act(AuditEntry entry) {
    entry.time = instant_of_nanos(1'900'000'000'000'000'000);
    log.audit.push_back(next_record(kAuditChain, audit.head(), encode(entry), key));
    REQUIRE(audit.follow(log.audit.back()));
    return *this;
  }
  Writer& act(AuditKind kind, RoundKey round, std::uint64_t number, std::string text = "") {
    AuditEntry entry;
    entry.kind = kind;
    entry.round = round;
    entry.number = number;
    entry.text = std::move(text);
    return act(std::move(entry));
  }
  Writer& allow(RoundKey round, std::uint32_t contributors = 2) {
    log.ledger.push_back(next_record(kLedgerChain, ledger.head(), encode(ReleaseRecord{Instant{}, round, contributors, Digest{{9}}, {}}), key));
    REQUIRE(ledger.follow(log.ledger.back()));
    return *this;
  }
  Writer& freeze(RoundKey round, std::uint64_t contributors = 2) {
    AuditEntry entry;
    entry.kind = AuditKind::kRoundFrozen;
    entry.round = round;
    entry.number = contributors;
    entry.subject = Digest{{9}};
    return act(std::move(entry));
  }
  Writer& round(RoundKey key_of_round) {
    return act(AuditKind::kRoundOpened, key_of_round, 3).allow(key_of_round).freeze(key_of_round).act(AuditKind::kReleased, key_of_round, log.ledger.size());
  }
};

Writer begun() {
  Writer writer;
  AuditEntry enrolled;
  enrolled.kind = AuditKind::kEnrolled;
  enrolled.who = PeerKey{{5}};
  enrolled.text = "client site-1";
  return std::move(writer.act(AuditKind::kStarted, {}, 1).act(std::move(enrolled)).round({1, 1, 1}).round({1, 2, 1}));
}

void finds(const AuditLog& log, const std::string& what) {
  const auto verified = verify_log(log, verify_key());
  REQUIRE_FALSE(verified);
  CHECK(verified.error().code == ErrorCode::kCorrupted);
  INFO(verified.error().message);
  CHECK(verified.error().message.find(what) != std::string::npos);
}

}  // namespace

TEST_CASE("audit log: a sound one verifies, with what it releases") {
  const AuditLog log = begun().act(AuditKind::kStarted, {}, 2).log;
  const auto verified = verify_log(log, verify_key());
  REQUIRE_MESSAGE(verified, verified.error().message);
  CHECK(verified->audit.size() == 9);
  CHECK(verified->ledger.size() == 2);
  CHECK(verified->released == std::set<std::uint64_t>{1, 2});
  CHECK(verified->audit_hashes.back() == hash_of(kAuditChain, log.audit.back()));
  CHECK(verify_log({}, verify_key()));
  CHECK(verify_log(begun().allow({1, 3, 1}).log, verify_key()));  // frozen while we read
}

TEST_CASE("audit log: any change to any record is found") {
  const AuditLog good = begun().log;
  for (const bool in_ledger : {false, true}) {
    const std::size_t size = in_ledger ? good.ledger.size() : good.audit.size();
    for (std::size_t i = 0; i < size; ++i) {
      const auto spoilt = [&](auto&& spoil) {
        AuditLog log = good;
        auto& chain = in_ledger ? log.ledger : log.audit;
        spoil(chain, i);
        CHECK_FALSE(verify_log(log, verify_key()));
      };
      using Chain = std::vector<ChainRecord>;
      spoilt([](Chain& chain, std::size_t at) { chain[at].body.back() ^= 1; });
      spoilt([](Chain& chain, std::size_t at) { chain[at].signature.bytes[0] ^= 1; });
      spoilt([](Chain& chain, std::size_t at) { chain[at].previous.bytes[0] ^= 1; });
      spoilt([](Chain& chain, std::size_t at) { ++chain[at].sequence; });
      spoilt([](Chain& chain, std::size_t at) { chain.insert(chain.begin() + static_cast<std::ptrdiff_t>(at), chain[at]); });
      spoilt([](Chain& chain, std::size_t at) { chain[at] = next_record(kAuditChain, {}, {1}, key_of(1)); });
      if (i + 1 < size) {
        spoilt([](Chain& chain, std::size_t at) { chain.erase(chain.begin() + static_cast<std::ptrdiff_t>(at)); });
        spoilt([](Chain& chain, std::size_t at) { std::swap(chain[at], chain[at + 1]); });
      }
    }
  }
  CHECK_FALSE(verify_log(good, key_of(2).public_key()));
}

TEST_CASE("audit log: what its writer did wrong is found although every signature holds") {
  const RoundKey next{1, 3, 1};
  finds(begun().freeze(next).log, "without a ledger record");
  finds(begun().allow(next).freeze(next, 3).log, "other updates");
  finds(begun().allow(next).freeze(next).freeze(next).log, "again");
  finds(begun().allow(next).allow(next).log, "second one");
  finds(begun().act(AuditKind::kReleased, next, 3).log, "missing");
  finds(begun().act(AuditKind::kReleased, next, 0).log, "missing");
  finds(begun().act(AuditKind::kReleased, next, 2).log, "another round");
  finds(begun().act(AuditKind::kReleased, {1, 2, 1}, 2).log, "second time");
  finds(begun().allow(next).act(AuditKind::kReleased, next, 3).log, "not frozen");
  finds(begun().allow(next).act(AuditKind::kConsumed, next, 3).log, "not frozen by");
  finds(begun().allow(next).freeze(next).act(AuditKind::kConsumed, {1, 2, 1}, 3).log, "not frozen by");
  finds(begun().allow(next).freeze(next).act(AuditKind::kConsumed, next, 3).act(AuditKind::kConsumed, next, 3).log, "before");
  finds(begun().allow(next).freeze(next).act(AuditKind::kConsumed, next, 3).act(AuditKind::kReleased, next, 3).log, "was consumed");
  finds(begun().allow(next).allow({1, 4, 1}).freeze({1, 4, 1}).log, "never froze");
  finds(begun().act(AuditKind::kStarted, {}, 1).log, "epoch 1 after 1");
  AuditLog unreadable = begun().log;
  unreadable.audit.push_back(next_record(kAuditChain, {unreadable.audit.size(), hash_of(kAuditChain, unreadable.audit.back())}, {1, 2, 3}, key_of(1)));
  finds(unreadable, "does not read");
}

TEST_CASE("audit log: a later log must continue an earlier one") {
  const auto verified = [](const AuditLog& log) { return verify_log(log, verify_key()).value(); };
  const VerifiedLog early = verified(begun().log);
  const VerifiedLog late = verified(begun().round({1, 3, 1}).log);
  CHECK(check_continues(early, late));
  CHECK(check_continues(early, early));
  CHECK(check_continues(verified({}), early));
  CHECK(check_continues(late, early).error().message.find("rolled back") != std::string::npos);
  const VerifiedLog other = verified(begun().act(AuditKind::kStarted, {}, 2).round({1, 3, 1}).log);
  CHECK(check_continues(late, other).error().message.find("record 9 is another") != std::string::npos);
  VerifiedLog no_ledger = late;
  no_ledger.ledger_hashes.pop_back();
  CHECK(check_continues(late, no_ledger).error().message.find("ledger") != std::string::npos);
}

TEST_CASE("audit log: a file reads back whole or not at all") {
  const AuditLog log = begun().log;
  const Bytes bytes = encode(log);
  CHECK(decode_audit_log(bytes).value() == log);
  CHECK(decode_audit_log(encode(AuditLog{})).value() == AuditLog{});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    CHECK(decode_audit_log(ByteSpan(bytes).first(cut)).error().code == ErrorCode::kInvalidData);
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_audit_log(longer));
  Bytes endless = bytes;
  endless[26] = 0xff;  // the count of records: refused where the records end, without room for all
  CHECK_FALSE(decode_audit_log(endless));
}

TEST_CASE("audit view: one row a record, of one job where asked, and no terminal is driven") {
  Writer writer = begun();
  writer.act(AuditKind::kAbandoned, {2, 1, 1}, 0, "bad \x1b[31m text\nnext");
  AuditEntry revoked;
  revoked.kind = AuditKind::kRevoked;
  revoked.who = PeerKey{{5}};
  writer.act(revoked);
  const VerifiedLog log = verify_log(writer.log, verify_key()).value();
  CHECK(audit_table(log, std::nullopt).lines().size() == 1 + log.audit.size());
  CHECK(audit_table(log, 1).lines().size() == 1 + 6);
  CHECK(ledger_table(log, 2).empty());
  CHECK(ledger_table(log, 1).lines().size() == 1 + 2);
  std::string text;
  for (const std::string& line : audit_table(log, std::nullopt).lines()) text += line + "\n";
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("text next") != std::string::npos);
  CHECK(text.find("site-1") != std::string::npos);
  CHECK(audit_objects(log, 2).size() == 1);
  CHECK(audit_objects(log, std::nullopt)[0].text().find("\"kind\":\"started\"") != std::string::npos);
  CHECK(ledger_objects(log, std::nullopt)[1].text().find("\"released\":true") != std::string::npos);
}
