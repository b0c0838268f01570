#include "coordinator/tables.h"

#include "core/protocol/records.h"
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

template <class Row, class Decode>
void round_trip(const Row& row, Decode decode) {
  const Bytes bytes = encode(row);
  CHECK(decode(bytes).value() == row);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    CHECK(decode(ByteSpan(bytes).first(cut)).error().code == ErrorCode::kCorrupted);
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode(longer));
  Bytes other = bytes;
  other[0] = 9;
  CHECK(decode(other).error().message.find("version 9") != std::string::npos);
}

}  // namespace

TEST_CASE("tables: keys are in order and read back") {
  CHECK(round_key({1, 2, 3}) == "round/0000000000000001/0000000000000002/0000000000000003");
  CHECK(job_state_key(16) == "job/0000000000000010/state");
  CHECK(model_key(1, 255) < model_key(1, 256));
  const std::string update = update_key({1, 2, 3}, PeerKey{});
  const auto parts = key_parts(update);
  REQUIRE(parts.size() == 5);
  CHECK(number_in_key(parts[3]).value() == 3);
  CHECK_FALSE(number_in_key("12"));
  CHECK_FALSE(number_in_key("000000000000000g"));
  CHECK(number_in_key("ffffffffffffffff").value() == ~std::uint64_t{0});
  CHECK_FALSE(small_number_in_key("ffffffffffffffff"));
}

TEST_CASE("tables: rows of a secure attempt read back, and a mask of version 1") {
  round_trip(MaskRow{{PeerKey{{1}}, PeerKey{{2}}}, {5, 6, 7}, {11, 0}}, decode_mask_row);
  const MaskRow old{{PeerKey{{1}}}, {5}, {}};
  CHECK(encode(old)[0] == 1);
  CHECK(decode_mask_row(encode(old)).value() == old);
  const MaskRow knows{{PeerKey{{1}}}, {5}, {9}};
  CHECK(encode(knows)[0] == 2);
  round_trip(PhaseRow{4, Duration(90'000'000'000), {PeerKey{{3}}}}, decode_phase_row);
  CHECK(decode_phase_row(encode(PhaseRow{4, kPhaseLeftMax + Duration(1), {}})).error().message.find("more time") != std::string::npos);
  round_trip(SparedRow{7, 3}, decode_spared_row);
}

TEST_CASE("tables: values read back whole or not at all") {
  const BlobRef blob{Digest{{7}}, 99};
  round_trip(JobSpecRow{5, PeerKey{{1}}, "rounds = 1"}, decode_job_spec_row);
  round_trip(ModelRow{blob, {blob, blob}, blob}, decode_model_row);
  round_trip(ModelRow{blob, {}, std::nullopt}, decode_model_row);
  round_trip(RoundRow{RoundKind::kEvaluate, 3, kStart, blob, {PeerKey{{1}}, PeerKey{{2}}}, 0, {}}, decode_round_row);
  round_trip(RoundRow{RoundKind::kTrain, 3, kStart, blob, {PeerKey{{1}}, PeerKey{{2}}}, 7, {PeerKey{{2}}}}, decode_round_row);
  CHECK_FALSE(decode_round_row(encode(RoundRow{RoundKind::kTrain, 3, kStart, blob, {PeerKey{{1}}}, 7, {}})));
  CHECK_FALSE(decode_round_row(encode(RoundRow{RoundKind::kTrain, 3, kStart, blob, {PeerKey{{1}}}, 0, {PeerKey{{1}}}})));
  CHECK(epoch_of_value(epoch_value(kEpochMax)).value() == kEpochMax);
  CHECK(epoch_of_value(epoch_value(0)).error().code == ErrorCode::kCorrupted);
  CHECK(epoch_of_value(epoch_value(kEpochMax + 1)).error().code == ErrorCode::kCorrupted);
  UpdateReady ready;
  ready.key = {1, 2, 3};
  ready.update = blob;
  ready.examples = 4;
  round_trip(UpdateRow{kStart, 1.5, ready}, decode_update_row);
  const Identity id = identity(1, "site-1");
  round_trip(TokenRow{id.delegation, kStart, std::nullopt, Instant{}}, decode_token_row);
  round_trip(TokenRow{id.delegation, kStart, id.key(), kStart + 1s}, decode_token_row);
  CHECK(certificate_of_value(certificate_value(id.certificate)).value() == id.certificate);
}

TEST_CASE("tables: a store that does not verify is refused by its row's name") {
  Driver d(2);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\n"));
  d.deliver_update(d.client(0));
  const std::vector<Row> rows = d.store.scan("").value();
  std::set<std::string> tables;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    tables.insert(std::string(key_parts(rows[i].key)[0]));
    auto torn = rows;
    torn[i].value.pop_back();
    const auto refused = Coordinator::create(d.config(), torn);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find(rows[i].key) != std::string::npos);
  }
  CHECK(tables == std::set<std::string>{"audit", "cert", "epoch", "job", "journal", "model", "node", "round", "token", "update"});
  auto foreign = rows;
  foreign.push_back({"zebra/1", {}});
  CHECK(Coordinator::create(d.config(), foreign).error().message.find("zebra/1") != std::string::npos);
}

TEST_CASE("tables: the rows name every blob that must stay") {
  Driver d(2);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\n[server]\noptimizer = \"fedavgm\"\n"));
  for (std::size_t n = 0; n < 2; ++n) d.deliver_update(d.client(n));
  d.deliver_update(d.client(0));
  const auto needed = blobs_in_rows(d.store.scan("").value()).value();
  const auto there = d.blobs.list().value();
  CHECK(needed == std::set<Digest>(there.begin(), there.end()));
}

}  // namespace covey
