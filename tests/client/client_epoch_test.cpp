#include "tests/client/hand_driven.h"

using namespace covey;

namespace {

Row kept(const Commands& commands) {
  const Batch batch = only<Persist>(commands).batch;
  REQUIRE(batch.puts.size() == 1);
  CHECK(batch.puts[0].key == "epoch");
  return {batch.puts[0].key, batch.puts[0].value};
}

// The row of a client that has joined a coordinator of this epoch.
Row row_of(std::uint64_t epoch) {
  HandDriven client;
  client(Started{});
  return kept(client.receive(JoinAccepted{"site-1", epoch}));
}

const WriteLog* found_log(const Commands& commands, const std::string& event) {
  for (const Command& command : commands)
    if (const auto* log = std::get_if<WriteLog>(&command); log != nullptr && log->entry.event == event) return log;
  return nullptr;
}

}  // namespace

TEST_CASE("client epoch: it is durable before the client has joined") {
  HandDriven client;
  client(Started{});
  const Commands asked = client.receive(JoinAccepted{"site-1", 3});
  CHECK_FALSE(has_logged(asked, "client_joined"));
  CHECK(does_nothing(client.receive(offer_of(1))));  // not yet
  CHECK(client.receive(JoinAccepted{"site-1", 3}).empty());  // said twice: written once
  const Commands commands = client.persisted(asked);
  CHECK(has_logged(commands, "client_joined"));
  CHECK(only<CancelTimer>(commands).name == "join");
  CHECK(sent<RoundAccept>(client.accept(offer_of(1))).key.round == 1);
}

TEST_CASE("client epoch: what a coordinator says while its epoch is written is taken up with it") {
  HandDriven client;
  client(Started{});
  const Commands asked = client.receive(JoinAccepted{"site-1", 3});
  CHECK(does_nothing(client.receive(offer_of(1))));
  SUBCASE("once it is durable") {
    const Commands commands = client.persisted(asked);
    CHECK(has_logged(commands, "client_joined"));
    CHECK(has_logged(commands, "round_offered"));
  }
  SUBCASE("not from one that is another by then") {
    const Commands again = client.receive(JoinAccepted{"site-1", 4});
    CHECK_FALSE(has_logged(client.persisted(again), "round_offered"));
  }
  SUBCASE("not without bound") {
    for (std::uint32_t round = 2; round < 80; ++round) client.receive(offer_of(round));
    const Commands commands = client.persisted(asked);
    CHECK(std::count_if(commands.begin(), commands.end(), [](const Command& command) {
            const auto* line = std::get_if<WriteLog>(&command);
            return line != nullptr && line->entry.event == "round_offered";
          }) == 64);
  }
}

TEST_CASE("client epoch: the same or a higher one is joined, and only a higher one is written") {
  HandDriven client({row_of(5)});
  client(Started{});
  Commands commands = client.receive(JoinAccepted{"site-1", 5});
  CHECK(all<Persist>(commands).empty());
  CHECK(has_logged(commands, "client_joined"));
  client.receive(RejoinRequired{});
  commands = client.receive(JoinAccepted{"site-1", 9});
  CHECK(has_logged(client.persisted(commands), "client_joined"));
  HandDriven again({kept(commands)});
  again(Started{});
  CHECK(has_logged(again.receive(JoinAccepted{"site-1", 8}), "coordinator_rolled_back"));
}

TEST_CASE("client epoch: a coordinator put back to an older state is not worked for, and asked again") {
  HandDriven client({row_of(5)});
  client(Started{});
  Commands commands = client.receive(JoinAccepted{"site-1", 4});
  const WriteLog* log = found_log(commands, "coordinator_rolled_back");
  REQUIRE(log != nullptr);
  CHECK(log->entry.level == LogLevel::kError);
  CHECK(all_sent<Leave>(commands).size() == 1);
  CHECK(all<Persist>(commands).empty());
  CHECK(all<CancelTimer>(commands).empty());  // the Join will be repeated
  for (const Message& message :
       {Message(offer_of(1)), Message(UpdateAccepted{offer_of(1).key}), Message(RoundClosed{offer_of(1).key, true, ""})})
    CHECK(does_nothing(client.receive(message)));
  double expected = 1;
  for (int i = 0; i < 8; ++i) {
    commands = client.fire("join");
    CHECK(all_sent<Join>(commands).size() == 1);
    const auto waits = timers(commands, "join");
    REQUIRE(waits.size() == 1);
    CHECK(seconds(waits[0]) <= expected);
    CHECK(seconds(waits[0]) >= expected / 2 - 1e-9);
    expected = std::min(2 * expected, 30.0);
    CHECK(has_logged(client.receive(JoinAccepted{"site-1", 4}), "coordinator_rolled_back"));
  }
  commands = client.receive(JoinAccepted{"site-1", 6});  // restored properly
  CHECK(has_logged(client.persisted(commands), "client_joined"));
  CHECK(sent<RoundAccept>(client.accept(offer_of(1))).key.round == 1);
}

TEST_CASE("client epoch: work that ends while the coordinator is older than known is not handed to it") {
  HandDriven client({row_of(5)});
  client(Started{});
  client.receive(JoinAccepted{"site-1", 5});
  const Commands training = client.until_training(offer_of(1));
  client.receive(RejoinRequired{});
  client.receive(JoinAccepted{"site-1", 2});
  const Commands saved = client.done(training, trained_update(200));
  CHECK(all_sent<UpdateReady>(client.persisted(saved)).empty());
  CHECK(all_sent<UpdateReady>(client.fire("deliver")).empty());
  const Commands back = client.persisted(client.receive(JoinAccepted{"site-1", 7}));
  CHECK(sent<UpdateReady>(back).key == offer_of(1).key);
}

TEST_CASE("client epoch: a row that does not verify is refused by name") {
  const Row good = row_of(5);
  ClientConfig config;
  std::vector<Bytes> bad{{}, Bytes(good.value.begin(), good.value.end() - 1), Bytes(9, 0xff), Bytes(9, 0)};
  bad.push_back(good.value);
  bad.back().push_back(0);
  bad.push_back(Bytes{1, 0, 0, 0, 0, 0, 0, 0, 0});
  for (const Bytes& value : bad) {
    const auto client = Client::create(config, {{good.key, value}});
    REQUIRE_FALSE(client.has_value());
    CHECK(client.error().code == ErrorCode::kCorrupted);
    CHECK(client.error().message.find("epoch") != std::string::npos);
  }
  CHECK(Client::create(config, {good}).has_value());
  CHECK(referenced_blobs({good}).value().empty());
}
