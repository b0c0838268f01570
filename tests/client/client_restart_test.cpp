#include "tests/client/hand_driven.h"

using namespace covey;

namespace {

// What a store holds after these writes.
class Rows {
 public:
  void apply(const Commands& commands) {
    for (const Persist& persist : all<Persist>(commands)) {
      for (const Put& put : persist.batch.puts) {
        erase(put.key);
        rows.push_back({put.key, put.value});
      }
      for (const Delete& deletion : persist.batch.deletes) erase(deletion.key);
    }
  }
  bool has(std::string_view table) const {
    return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.key.starts_with(table); });
  }
  std::vector<Row> rows;

 private:
  void erase(const std::string& key) { std::erase_if(rows, [&](const Row& row) { return row.key == key; }); }
};

// The rows of a client that crashed while its update of `offer` waited for the answer.
Rows rows_after_crash(const RoundOffer& offer) {
  HandDriven client;
  client.join();
  Rows rows;
  const Commands shards = client.fetched(client.accept(offer), encode(manifest_of(static_cast<std::uint8_t>(offer.key.round - 1))));
  rows.apply(shards);
  rows.apply(client.done(client.fetched(shards), trained_update(200)));
  REQUIRE(rows.has("update/"));
  return rows;
}

}  // namespace

TEST_CASE("client: an update made before a crash is delivered after it, not made again") {
  Rows rows = rows_after_crash(offer_of(1));
  HandDriven client(rows.rows);
  CHECK(only<PublishBlob>(client(Started{})).blob == Digest{{200}});
  client.receive(JoinAccepted{"site-1"});
  Commands commands = client.receive(offer_of(1));
  const UpdateReady ready = sent<UpdateReady>(commands);
  CHECK(ready.update == blob_named(200, 60));
  CHECK(ready.key == offer_of(1).key);
  CHECK(all<StartWork>(commands).empty());
  CHECK(all<FetchBlob>(commands).empty());
  CHECK(sent<UpdateReady>(client.fire("deliver")) == ready);
  commands = client.receive(UpdateAccepted{offer_of(1).key});
  rows.apply(commands);
  CHECK_FALSE(rows.has("update/"));
  CHECK(only<EraseBlob>(client.persisted(commands)).blob == Digest{{200}});
}

TEST_CASE("client: after a restart, another round erases the update kept") {
  for (const RoundOffer& offer : {offer_of(2), offer_of(1, 2)}) {
    Rows rows = rows_after_crash(offer_of(1));
    HandDriven client(rows.rows);
    client.join();
    const Commands commands = client.receive(offer);
    CHECK(only<WithdrawBlob>(commands).blob == Digest{{200}});
    rows.apply(commands);
    CHECK_FALSE(rows.has("update/"));
    CHECK(only<EraseBlob>(client.persisted(commands)).blob == Digest{{200}});
    CHECK(only<FetchBlob>(commands).blob == offer.config);
  }
}

TEST_CASE("client: after a restart, an update of another model is not delivered for this one") {
  HandDriven client(rows_after_crash(offer_of(1)).rows);
  client.join();
  RoundOffer offer = offer_of(1);
  offer.model = offer_of(2).model;
  const Commands commands = client.receive(offer);
  CHECK(all<Send>(commands).empty());
  CHECK(only<WithdrawBlob>(commands).blob == Digest{{200}});
  CHECK(only<FetchBlob>(commands).blob == offer.config);
}

TEST_CASE("client: an update kept is forgotten when its round is answered without a new offer") {
  const RoundKey key = offer_of(1).key;
  for (const Message& answer :
       {Message(UpdateAccepted{key}), Message(UpdateRefused{key, {}}), Message(RoundClosed{key, true, ""})}) {
    CAPTURE(name_of(answer));
    HandDriven client(rows_after_crash(offer_of(1)).rows);
    client.join();
    const Commands commands = client.receive(answer);
    CHECK(only<WithdrawBlob>(commands).blob == Digest{{200}});
    CHECK(only<EraseBlob>(client.persisted(commands)).blob == Digest{{200}});
  }
}

TEST_CASE("client: the model held before a restart goes when a newer one comes") {
  HandDriven client(rows_after_crash(offer_of(1)).rows);
  client.join();
  const Commands commands = client.fetched(client.accept(offer_of(2)), encode(manifest_of(1)));
  std::vector<Digest> erased;
  for (const EraseBlob& erase : all<EraseBlob>(commands)) erased.push_back(erase.blob);
  CHECK(std::count(erased.begin(), erased.end(), manifest_of(0).shards[0].id) == 1);
  CHECK(std::count(erased.begin(), erased.end(), offer_of(1).model.id) == 1);
  CHECK(erased.size() == 2);
}

TEST_CASE("client: knows which blobs its rows need") {
  const auto blobs = referenced_blobs(rows_after_crash(offer_of(1)).rows);
  REQUIRE(blobs.has_value());
  CHECK(blobs->size() == 4);
  for (const Digest& blob : {Digest{{200}}, offer_of(1).config.id, offer_of(1).model.id, manifest_of(0).shards[0].id})
    CHECK(std::count(blobs->begin(), blobs->end(), blob) == 1);
  CHECK(referenced_blobs({}).value().empty());
}

TEST_CASE("client: rows that do not verify are refused by name, rows of others left alone") {
  const std::vector<Row> good = rows_after_crash(offer_of(1)).rows;
  ClientConfig config;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, good[i].value.size() - 1}) {
      std::vector<Row> bad = good;
      bad[i].value.resize(length);
      const auto client = Client::create(config, bad);
      REQUIRE_FALSE(client.has_value());
      CHECK(client.error().code == ErrorCode::kCorrupted);
      CHECK(client.error().message.find(good[i].key) != std::string::npos);
      CHECK(referenced_blobs(bad).error().code == ErrorCode::kCorrupted);
    }
  }
  std::vector<Row> moved = good;
  for (Row& row : moved)
    if (row.key.starts_with("update/")) row.key.back() = '7';
  CHECK(Client::create(config, moved).error().code == ErrorCode::kCorrupted);
  CHECK(Client::create(config, {{"identity/key", {1, 2, 3}}}).has_value());
}
