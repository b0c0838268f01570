#include "core/protocol/records.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

template <class T, class Decode>
void reads_back(const T& value, Decode decode) {
  const Bytes bytes = encode(value);
  const auto read = decode(ByteSpan(bytes));
  REQUIRE(read.has_value());
  CHECK(*read == value);
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode(ByteSpan(bytes).first(n)).has_value());
}

BlobRef blob(std::uint8_t fill) {
  BlobRef ref{{}, 77};
  ref.id.bytes.fill(fill);
  return ref;
}

}  // namespace

TEST_CASE("records: each reads back and no truncation does") {
  const Instant t = instant_of_nanos(123456789);
  reads_back(JobSummary{7, "name", JobState::kRunning, 3, 10, 2, 5, 4, t, t + 1s, "why", blob(1)}, decode_job_summary);
  reads_back(RoundMetrics{3, 1, 5, 4, 1, 900, {1.5, 10, 2, 0.5}, {2.5, 8, 3}, 0.25, 4096, t, t + 2s},
             decode_round_metrics);
  reads_back(ClientMetrics{3, "site", 12, {1.5, 10, 2, 0.5}, {2.5, 8, 3}}, decode_client_metrics);
  UpdateReady update{{1, 2, 3}, blob(2).id, blob(3), 40, {1, 2, 3, 4}, {5, 6, 7}};
  reads_back(update, decode_update_ready);
  update.update.reset();
  reads_back(update, decode_update_ready);
  reads_back(JournalEntry{9, t, 1, "token registered"}, decode_journal_entry);
  NodeSummary node{{}, "n", Role::kOperator, true, true, {"cpu", 2, 3, 4.5}, t, t};
  reads_back(node, decode_node_summary);
}

TEST_CASE("records: what no encoder writes is corrupted") {
  Bytes summary = encode(JobSummary{7, "name", JobState::kRunning, 3, 10, 2, 5, 4, {}, {}, "", blob(1)});
  const std::size_t state = 1 + 8 + 4 + 4;  // version, job, name
  REQUIRE(summary[state] == static_cast<std::uint8_t>(JobState::kRunning));
  for (const int wrong : {0, 6, 255}) {
    summary[state] = static_cast<std::uint8_t>(wrong);
    const auto read = decode_job_summary(summary);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == ErrorCode::kCorrupted);
  }
  Bytes node = encode(NodeSummary{{}, "n", Role::kOperator, true, true, {"cpu", 2, 3, 4.5}, {}, {}});
  const std::size_t role = 1 + 32 + 4 + 1;  // version, key, name
  REQUIRE(node[role] == static_cast<std::uint8_t>(Role::kOperator));
  node[role] = static_cast<std::uint8_t>(kRoleLast) + 1;
  CHECK_FALSE(decode_node_summary(node).has_value());
  node[role] = static_cast<std::uint8_t>(Role::kClient);
  CHECK(decode_node_summary(node).has_value());
  node[role + 1] = 2;  // revoked
  CHECK_FALSE(decode_node_summary(node).has_value());
}

TEST_CASE("records: numbers in keys sort as numbers") {
  CHECK(hex_number(9) < hex_number(10));
  CHECK(hex_number(255) < hex_number(256));
  CHECK(hex_number(0).size() == 16);
}
