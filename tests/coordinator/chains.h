// Both chains as a coordinator's store holds them, followed from the first record, every signature
// and every sequence in a key checked.
#pragma once
#include <map>
#include <vector>

#include "coordinator/tables.h"
#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"
#include "core/protocol/records.h"
#include "tests/coordinator/driver.h"

namespace covey {

struct Chains {
  std::vector<AuditEntry> audit;
  std::vector<ReleaseRecord> ledger;

  std::vector<AuditEntry> of(AuditKind kind) const {
    std::vector<AuditEntry> found;
    for (const AuditEntry& entry : audit)
      if (entry.kind == kind) found.push_back(entry);
    return found;
  }
  AuditEntry only(AuditKind kind) const {
    const auto found = of(kind);
    REQUIRE_MESSAGE(found.size() == 1, name_of(kind));
    return found[0];
  }
};

inline std::vector<Bytes> chain_bodies(Driver& d, std::string_view chain, std::string_view table) {
  std::vector<Bytes> bodies;
  ChainReader reader(chain);
  const std::vector<Row> rows = d.store.scan(table).value();
  for (const Row& row : rows) {
    const ChainRecord record = decode_chain_record(row.value).value();
    const auto followed = reader.follow(record, d.config().record_key->public_key());
    REQUIRE_MESSAGE(followed, followed.error().message);
    CHECK(row.key == std::string(table) + hex_number(record.sequence));
    bodies.push_back(record.body);
  }
  return bodies;
}

// Also: no attempt has two ledger records, and every freeze and release has its own.
inline Chains chains_of(Driver& d) {
  Chains chains;
  for (const Bytes& body : chain_bodies(d, kAuditChain, kAuditTable)) chains.audit.push_back(decode_audit_entry(body).value());
  for (const Bytes& body : chain_bodies(d, kLedgerChain, kLedgerTable)) chains.ledger.push_back(decode_release_record(body).value());
  std::map<RoundKey, const ReleaseRecord*> allowed;
  for (const ReleaseRecord& record : chains.ledger) CHECK(allowed.emplace(record.round, &record).second);
  CHECK(chains.of(AuditKind::kRoundFrozen).size() == chains.ledger.size());
  for (const AuditEntry& entry : chains.of(AuditKind::kRoundFrozen)) {
    REQUIRE(allowed.contains(entry.round));
    CHECK(allowed[entry.round]->contributions == entry.subject);
    CHECK(allowed[entry.round]->contributors == entry.number);
  }
  std::map<std::uint64_t, int> used;
  for (const AuditEntry& entry : chains.of(AuditKind::kReleased)) {
    REQUIRE(entry.number >= 1);
    REQUIRE(entry.number <= chains.ledger.size());
    CHECK(chains.ledger[entry.number - 1].round == entry.round);
    CHECK(++used[entry.number] == 1);
  }
  return chains;
}

}  // namespace covey
