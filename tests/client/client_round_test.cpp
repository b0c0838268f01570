#include <limits>

#include "tests/client/hand_driven.h"

using namespace covey;

TEST_CASE("client: a whole round, hop by hop") {
  HandDriven client;
  client.join();
  const RoundOffer offer = offer_of(1);

  Commands commands = client.receive(offer);
  CHECK(has_logged(commands, "round_offered"));
  CHECK(timers(commands, "deadline") == std::vector<Duration>{600s});
  CHECK(only<FetchBlob>(commands).blob == offer.config);

  commands = client.fetched(commands, config_bytes());
  CHECK(std::get<PrepareData>(only<StartWork>(commands).work).job == *parse_job(text_of(config_bytes())));
  CHECK(all<Send>(commands).empty());

  commands = client.done(commands, DataPrepared{12, 4});
  CHECK(sent<RoundAccept>(commands).key == offer.key);
  CHECK(only<FetchBlob>(commands).blob == offer.model);  // accepted before the download

  commands = client.fetched(commands, encode(manifest_of(0)));
  CHECK(only<FetchBlob>(commands).blob == manifest_of(0).shards[0]);

  commands = client.fetched(commands);
  CHECK(has_logged(commands, "training_started"));
  const Train work = std::get<Train>(only<StartWork>(commands).work);
  CHECK(work.offer == offer);
  CHECK(work.job.name == "line");

  commands = client.done(commands, trained_update(200));
  CHECK(has_logged(commands, "training_done"));
  CHECK(all<Send>(commands).empty());  // not before it is durable
  CHECK(all<PublishBlob>(commands).empty());
  const Persist persist = only<Persist>(commands);
  REQUIRE(persist.batch.puts.size() == 1);

  commands = client(Persisted{persist.ticket});
  CHECK(only<PublishBlob>(commands).blob == Digest{{200}});
  CHECK(only<PublishBlob>(commands).to == kCoordinator.peer);
  const UpdateReady ready = sent<UpdateReady>(commands);
  CHECK(ready.key == offer.key);
  CHECK(ready.model == offer.model.id);
  CHECK(ready.update == blob_named(200, 60));
  CHECK(ready.examples == 12);
  CHECK(ready.train == TrainStats{6, 12, 3, 1.5});
  CHECK(ready.evaluation == EvalStats{4, 4, 2});
  CHECK(*decode_update_ready(persist.batch.puts[0].value) == ready);

  commands = client.receive(UpdateAccepted{offer.key});
  CHECK(has_logged(commands, "update_accepted"));
  CHECK(only<WithdrawBlob>(commands).blob == Digest{{200}});
  CHECK(all<EraseBlob>(commands).empty());  // the row goes first
  REQUIRE(only<Persist>(commands).batch.deletes.size() == 1);
  CHECK(only<Persist>(commands).batch.deletes[0].key == persist.batch.puts[0].key);
  CHECK(only<EraseBlob>(client.persisted(commands)).blob == Digest{{200}});

  commands = client.receive(RoundClosed{offer.key, true, ""});
  CHECK(has_logged(commands, "round_closed"));
  CHECK(does_nothing(commands));
}

TEST_CASE("client: the next round prepares no data again and keeps only the newest model") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1));
  client.persisted(client.receive(UpdateAccepted{offer_of(1).key}));
  const RoundOffer second = offer_of(2);
  Commands commands = client.receive(second);
  CHECK(sent<RoundAccept>(commands).key == second.key);  // neither configuration nor data anew
  commands = client.fetched(commands, encode(manifest_of(1)));
  std::vector<Digest> erased;
  for (const EraseBlob& erase : all<EraseBlob>(commands)) erased.push_back(erase.blob);
  CHECK(erased.size() == 2);
  CHECK(std::count(erased.begin(), erased.end(), offer_of(1).model.id) == 1);
  CHECK(std::count(erased.begin(), erased.end(), manifest_of(0).shards[0].id) == 1);
}

TEST_CASE("client: a shard that two versions share is kept") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1));
  ModelManifest next = manifest_of(1);
  next.shards = manifest_of(0).shards;
  RoundOffer second = offer_of(2);
  second.model = blob_ref_of(encode(next));
  const Commands commands = client.fetched(client.accept(second), encode(next));
  CHECK(only<EraseBlob>(commands).blob == offer_of(1).model.id);
}

TEST_CASE("client: trains when the last shard is here, and asks once for shards that are equal") {
  constexpr std::string_view kTransformer = "[model]\nfamily = \"transformer\"\nlayers = 2\n[data]\nformat = \"text\"\n"
                                            "[privacy]\nsecure_aggregation = false\n";
  const JobSpec job = *parse_job(kTransformer);
  ModelManifest manifest{job.model, 0, {}};
  for (const ShardRange& shard : parameter_table(job.model).shards)  // embedding, two equal blocks, head
    manifest.shards.push_back(blob_named(static_cast<std::uint8_t>(shard.name.size()), shard.size * 4));
  REQUIRE(manifest.shards.size() == 4);
  REQUIRE(manifest.shards[1] == manifest.shards[2]);
  RoundOffer offer = offer_of(1);
  offer.config = blob_ref_of(config_bytes(kTransformer));
  offer.model = blob_ref_of(encode(manifest));

  HandDriven client;
  client.join();
  Commands commands = client.fetched(client.receive(offer), config_bytes(kTransformer));
  commands = client.fetched(client.done(commands, DataPrepared{12, 4}), encode(manifest));
  const std::vector<FetchBlob> fetches = all<FetchBlob>(commands);
  REQUIRE(fetches.size() == 3);
  CHECK(client(BlobFetched{fetches[2].ticket, fetches[2].blob, {}}).empty());
  CHECK(client(BlobFetched{fetches[2].ticket, fetches[2].blob, {}}).empty());  // said twice
  const Error lost{ErrorCode::kUnavailable, "no answer"};
  CHECK(has_logged(client(BlobFailed{fetches[0].ticket, lost}), "fetch_retried"));
  CHECK(client(BlobFetched{fetches[1].ticket, fetches[1].blob, {}}).empty());  // one is still missing
  CHECK(std::holds_alternative<Train>(only<StartWork>(client.fetched(client.fire("fetch"))).work));
}

// What a client of today does with a setting of tomorrow is what one from before update.exchange does with that: a
// job's updates have one length, and nobody sends another unknowingly.
TEST_CASE("client: a setting that it does not know is declined by its name, an exchange that is not said is of all") {
  constexpr std::string_view kAdapters = "[model]\nfamily = \"transformer\"\nlayers = 2\n[model.lora]\nrank = 2\n[data]\nformat = \"text\"\n"
                                         "[privacy]\nsecure_aggregation = false\n";
  const auto prepared = [](const std::string& text) {
    HandDriven client;
    client.join();
    RoundOffer offer = offer_of(1);
    const Bytes config(text.begin(), text.end());
    offer.config = blob_ref_of(config);
    return client.fetched(client.receive(offer), config);
  };
  const auto exchange = [&](const std::string& text) {
    return std::get<PrepareData>(only<StartWork>(prepared(text)).work).job.update.exchange;
  };
  const std::string says(text_of(config_bytes(kAdapters)));
  const std::string line = "exchange = 'trained'\n";
  REQUIRE(says.find(line) != std::string::npos);
  CHECK(exchange(says) == Exchange::kTrained);
  CHECK(exchange(std::string(says).erase(says.find(line), line.size())) == Exchange::kAll);
  const RoundDecline decline = sent<RoundDecline>(prepared(std::string(says).replace(says.find("exchange"), 8, "exchanges_some")));
  CHECK(decline.reason == DeclineReason::kInternal);
  CHECK(decline.text.find("update.exchanges_some") != std::string::npos);
}

TEST_CASE("client: an evaluation round delivers measures and no update") {
  HandDriven client;
  client.join();
  RoundOffer offer = offer_of(4);
  offer.kind = RoundKind::kEvaluate;
  Trained measured = trained_update(200);
  measured.update.reset();
  Commands commands = client.persisted(client.done(client.until_training(offer), measured));
  CHECK(all<PublishBlob>(commands).empty());
  CHECK_FALSE(sent<UpdateReady>(commands).update);
  commands = client.receive(UpdateAccepted{offer.key});
  CHECK(only<Persist>(commands).batch.deletes.size() == 1);
  CHECK(all<EraseBlob>(client.persisted(commands)).empty());
}

TEST_CASE("client: says it again until the update is answered") {
  HandDriven client;
  client.join();
  const UpdateReady ready = sent<UpdateReady>(client.until_delivering(offer_of(1)));
  for (int i = 0; i < 5; ++i) {
    const Commands commands = client.fire("deliver");
    CHECK(sent<UpdateReady>(commands) == ready);
    CHECK(timers(commands, "deliver").size() == 1);
  }
  client.receive(RejoinRequired{});
  CHECK(all<Send>(client.fire("deliver")).empty());  // not while nobody listens
  CHECK(sent<UpdateReady>(client.receive(JoinAccepted{"site-1"})) == ready);
  client.receive(UpdateAccepted{ready.key});
  CHECK(client.fire("deliver").empty());
  CHECK(does_nothing(client.receive(UpdateAccepted{ready.key})));  // acknowledged twice
}

TEST_CASE("client: a refused update is forgotten") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1));
  const Commands commands = client.receive(UpdateRefused{offer_of(1).key, {ErrorCode::kUnavailable, "too late"}});
  CHECK(has_logged(commands, "update_refused"));
  CHECK(only<EraseBlob>(client.persisted(commands)).blob == Digest{{200}});
  CHECK(client.fire("deliver").empty());
}

TEST_CASE("client: an acknowledgement of what it has not said yet is ignored") {
  HandDriven client;
  client.join();
  const Commands training = client.until_training(offer_of(1));
  CHECK(does_nothing(client.receive(UpdateAccepted{offer_of(1).key})));
  const Commands saving = client.done(training, trained_update(200));
  CHECK(does_nothing(client.receive(UpdateAccepted{offer_of(1).key})));
  CHECK(all_sent<UpdateReady>(client.persisted(saving)).size() == 1);
}

TEST_CASE("client: an offer said twice is answered as before, at every step") {
  HandDriven client;
  client.join();
  const RoundOffer offer = offer_of(1);
  Commands commands = client.receive(offer);
  CHECK(all<Send>(client.receive(offer)).empty());  // nothing said yet
  commands = client.done(client.fetched(commands, config_bytes()), DataPrepared{12, 4});
  CHECK(sent<RoundAccept>(client.receive(offer)).key == offer.key);
  commands = client.fetched(client.fetched(commands, encode(manifest_of(0))));
  CHECK(timers(client.receive(offer), "deadline") == std::vector<Duration>{600s});  // begun anew there too
  commands = client.done(commands, trained_update(200));
  CHECK(all_sent<UpdateReady>(client.receive(offer)).empty());  // not durable yet
  client.persisted(commands);
  const Commands repeated = client.receive(offer);
  CHECK(sent<UpdateReady>(repeated).key == offer.key);
  CHECK(all<StartWork>(repeated).empty());
  RoundOffer other = offer;
  other.model.id.bytes[0] ^= 1;
  CHECK(does_nothing(client.receive(other)));  // same round, another model: not ours to believe
}

TEST_CASE("client: declines by policy, repeats it when asked again") {
  Policy policy;
  policy.jobs_allowed = {"mnist"};
  HandDriven client({}, policy);
  client.join();
  const Commands commands = client.fetched(client.receive(offer_of(1)), config_bytes());
  const RoundDecline decline = sent<RoundDecline>(commands);
  CHECK(decline.reason == DeclineReason::kPolicy);
  CHECK(has_logged(commands, "round_declined"));
  CHECK(all<StartWork>(commands).empty());
  CHECK(sent<RoundDecline>(client.receive(offer_of(1))) == decline);
}

TEST_CASE("client: data that does not serve is declined, and its error stays here") {
  HandDriven client;
  client.join();
  Commands commands = client.fetched(client.receive(offer_of(1)), config_bytes());
  commands = client(WorkFailed{only<StartWork>(commands).ticket, {ErrorCode::kInvalidData, "private/rows.csv line 3"}});
  const RoundDecline decline = sent<RoundDecline>(commands);
  CHECK(decline.reason == DeclineReason::kData);
  CHECK(decline.text.find("private") == std::string::npos);
  CHECK(has_logged(commands, "data_refused"));
  // The next round looks again: the site may have mended it.
  CHECK(std::holds_alternative<PrepareData>(only<StartWork>(client.receive(offer_of(2))).work));
}

TEST_CASE("client: a configuration that cannot be read is declined with the reason") {
  HandDriven client;
  client.join();
  Bytes nonsense{'x', '=', '='};
  RoundOffer offer = offer_of(1);
  offer.config = blob_ref_of(nonsense);
  RoundDecline decline = sent<RoundDecline>(client.fetched(client.receive(offer), nonsense));
  CHECK(decline.reason == DeclineReason::kInternal);
  CHECK(decline.text.size() > 20);
  CHECK(decline.text.size() <= kErrorTextBytesMax);
  offer.key.round = 2;
  const Commands commands = client.receive(offer);
  decline = sent<RoundDecline>(
      client(BlobFailed{only<FetchBlob>(commands).ticket, {ErrorCode::kInvalidMessage, std::string(2000, 'a')}}));
  CHECK(decline.reason == DeclineReason::kInternal);
  CHECK(decline.text.size() == kErrorTextBytesMax);
}

TEST_CASE("client: an offer that no honest coordinator makes is declined at once") {
  const auto refused = [](auto change) {
    HandDriven client;
    client.join();
    RoundOffer offer = offer_of(1);
    change(offer);
    const Commands commands = client.receive(offer);
    CHECK(sent<RoundDecline>(commands).reason == DeclineReason::kInternal);
    CHECK(all<FetchBlob>(commands).empty());
    CHECK(all<SetTimer>(commands).empty());
  };
  refused([](RoundOffer& o) { o.key.job = 0; });
  refused([](RoundOffer& o) { o.key.round = 0; });
  refused([](RoundOffer& o) { o.key.attempt = 0; });
  refused([](RoundOffer& o) { o.kind = static_cast<RoundKind>(9); });
  refused([](RoundOffer& o) { o.config.size = kJobTomlBytesMax + 1; });
  refused([](RoundOffer& o) { o.config.size = 0; });
  refused([](RoundOffer& o) { o.model.size = kSmallBlobBytes + 1; });
  refused([](RoundOffer& o) { o.deadline = 0s; });
  refused([](RoundOffer& o) { o.progress_end = 1.5; });
  refused([](RoundOffer& o) { o.progress_begin = std::numeric_limits<double>::quiet_NaN(); });
  refused([](RoundOffer& o) { o.progress_begin = 0.9, o.progress_end = 0.1; });
}

TEST_CASE("client: another job while it is busy is declined, once it is idle taken") {
  HandDriven client;
  client.join();
  client.until_training(offer_of(1));
  RoundOffer other = offer_of(1);
  other.key.job = 2;
  const RoundDecline decline = sent<RoundDecline>(client.receive(other));
  CHECK(decline.reason == DeclineReason::kBusy);
  CHECK(decline.key == other.key);
  client.receive(RoundClosed{offer_of(1).key, false, "stopped"});
  CHECK(sent<RoundAccept>(client.receive(other)).key == other.key);
}

TEST_CASE("client: a newer attempt of the same job supersedes downloads and training") {
  HandDriven client;
  client.join();
  const Ticket fetch = only<FetchBlob>(client.accept(offer_of(1))).ticket;
  Commands commands = client.receive(offer_of(1, 2));
  CHECK(only<CancelFetch>(commands).ticket == fetch);
  CHECK(sent<RoundAccept>(commands).key.attempt == 2);
  CHECK(does_nothing(client(BlobFetched{fetch, offer_of(1).model, encode(manifest_of(0))})));

  const Commands training = client.fetched(client.fetched(commands, encode(manifest_of(0))));
  const Ticket work = only<StartWork>(training).ticket;
  commands = client.receive(offer_of(2));
  CHECK(only<CancelWork>(commands).ticket == work);
  CHECK(sent<RoundAccept>(commands).key.round == 2);
  CHECK(does_nothing(client.receive(offer_of(1, 2))));  // late
  // It had finished before it could be cancelled: nobody wants that blob.
  commands = client(WorkDone{work, trained_update(201)});
  CHECK(only<EraseBlob>(commands).blob == Digest{{201}});
  CHECK(commands.size() == 1);
}

TEST_CASE("client: a newer attempt supersedes an update that is not acknowledged") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1), 200);
  const Commands superseded = client.receive(offer_of(1, 2));
  CHECK(only<WithdrawBlob>(superseded).blob == Digest{{200}});
  CHECK(only<Persist>(superseded).batch.deletes.size() == 1);
  CHECK(sent<RoundAccept>(superseded).key.attempt == 2);
}

TEST_CASE("client: a repeated attempt makes the same blob, which is not erased under it") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1), 200);
  const Commands superseded = client.receive(offer_of(1, 2));
  const Commands training = client.fetched(client.fetched(superseded, encode(manifest_of(0))));
  CHECK(all<EraseBlob>(client.persisted(superseded)).empty());  // may be in the making again
  const Commands saving = client.done(training, trained_update(200));
  CHECK(all<EraseBlob>(saving).empty());
  CHECK(only<PublishBlob>(client.persisted(saving)).blob == Digest{{200}});
  CHECK(only<EraseBlob>(client.persisted(client.receive(UpdateAccepted{offer_of(1, 2).key}))).blob == Digest{{200}});
}

TEST_CASE("client: a superseded update is erased once training has made another") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1), 200);
  const Commands superseded = client.receive(offer_of(2));
  const Commands training = client.fetched(client.fetched(superseded, encode(manifest_of(1))));
  CHECK(all<EraseBlob>(client.persisted(superseded)).empty());
  CHECK(only<EraseBlob>(client.done(training, trained_update(201))).blob == Digest{{200}});
}

TEST_CASE("client: a closed round is dropped wherever it stands") {
  SUBCASE("downloading") {
    HandDriven client;
    client.join();
    const Ticket fetch = only<FetchBlob>(client.accept(offer_of(1))).ticket;
    CHECK(only<CancelFetch>(client.receive(RoundClosed{offer_of(1).key, false, ""})).ticket == fetch);
    CHECK(does_nothing(client.receive(offer_of(1))));  // came late
  }
  SUBCASE("training") {
    HandDriven client;
    client.join();
    const Ticket work = only<StartWork>(client.until_training(offer_of(1))).ticket;
    CHECK(only<CancelWork>(client.receive(RoundClosed{offer_of(1).key, true, ""})).ticket == work);
    CHECK(does_nothing(client(WorkFailed{work, {ErrorCode::kUnavailable, "cancelled"}})));
  }
  SUBCASE("saving") {
    HandDriven client;
    client.join();
    const Commands saving = client.done(client.until_training(offer_of(1)), trained_update(200));
    const Commands closed = client.receive(RoundClosed{offer_of(1).key, true, ""});
    CHECK(does_nothing(client.persisted(saving)));
    CHECK(only<EraseBlob>(client.persisted(closed)).blob == Digest{{200}});
  }
  SUBCASE("delivering") {
    HandDriven client;
    client.join();
    client.until_delivering(offer_of(1));
    const Commands closed = client.receive(RoundClosed{offer_of(1).key, true, ""});
    CHECK(only<EraseBlob>(client.persisted(closed)).blob == Digest{{200}});
    CHECK(client.fire("deliver").empty());
  }
}

TEST_CASE("client: gives up quietly at the deadline, and begins anew when asked again") {
  HandDriven client;
  client.join();
  const Ticket work = only<StartWork>(client.until_training(offer_of(1))).ticket;
  const Commands commands = client.fire("deadline");
  CHECK(only<CancelWork>(commands).ticket == work);
  CHECK(all<Send>(commands).empty());
  CHECK(has_logged(commands, "round_given_up"));
  CHECK(sent<RoundAccept>(client.receive(offer_of(1))).key == offer_of(1).key);
}

TEST_CASE("client: a finished update outlives the deadline, but makes way for another job") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(1));
  CHECK(client.fire("deadline").empty());
  CHECK(all_sent<UpdateReady>(client.fire("deliver")).size() == 1);
  RoundOffer other = offer_of(1);
  other.key.job = 2;
  const Commands commands = client.receive(other);
  CHECK(sent<RoundAccept>(commands).key == other.key);
  CHECK(only<WithdrawBlob>(commands).blob == Digest{{200}});
}

TEST_CASE("client: a download that stops for now is taken up again, one that is refused fails the round") {
  HandDriven client;
  client.join();
  Commands commands = client.accept(offer_of(1));
  commands = client(BlobFailed{only<FetchBlob>(commands).ticket, {ErrorCode::kUnavailable, "no answer"}});
  CHECK(all<Send>(commands).empty());
  REQUIRE(timers(commands, "fetch").size() == 1);
  commands = client.fire("fetch");
  CHECK(only<FetchBlob>(commands).blob == offer_of(1).model);
  commands = client(BlobFailed{only<FetchBlob>(commands).ticket, {ErrorCode::kNotFound, "not here"}});
  const RoundFailed failed = sent<RoundFailed>(commands);
  CHECK(failed.key == offer_of(1).key);
  CHECK(failed.error.code == ErrorCode::kNotFound);
  CHECK(sent<RoundFailed>(client.receive(offer_of(1))) == failed);
}

TEST_CASE("client: a manifest that is not the job's fails the round") {
  HandDriven client;
  client.join();
  SUBCASE("malformed") {
    CHECK(sent<RoundFailed>(client.fetched(client.accept(offer_of(1)), Bytes{1, 2, 3})).error.code ==
          ErrorCode::kInvalidMessage);
  }
  SUBCASE("of another model") {
    ModelManifest other = manifest_of(0);
    other.spec.inputs = 5;
    other.shards[0].size = parameter_table(other.spec).size * 4;
    const Commands commands = client.fetched(client.accept(offer_of(1)), encode(other));
    CHECK(sent<RoundFailed>(commands).error.code == ErrorCode::kInvalidMessage);
    CHECK(all<FetchBlob>(commands).empty());
  }
}

TEST_CASE("client: training that fails is said with its reason") {
  HandDriven client;
  client.join();
  const Ticket work = only<StartWork>(client.until_training(offer_of(1))).ticket;
  const Commands commands = client(WorkFailed{work, {ErrorCode::kInvalidUpdate, "local step 3 of 9: NaN"}});
  CHECK(sent<RoundFailed>(commands).error == Error{ErrorCode::kInvalidUpdate, "local step 3 of 9: NaN"});
  CHECK(has_logged(commands, "round_failed"));
  CHECK(sent<RoundAccept>(client.receive(offer_of(2))).key.round == 2);
}

TEST_CASE("client: what names this site's files stays in its own log") {
  HandDriven client;
  client.join();
  const std::string path = "/home/site/data/blobs/tmp/216: No such file or directory";
  Commands commands;
  SUBCASE("a download") {
    commands = client.accept(offer_of(1));
    commands = client(BlobFailed{only<FetchBlob>(commands).ticket, {ErrorCode::kNotFound, path}});
    CHECK(sent<RoundFailed>(commands).error.code == ErrorCode::kNotFound);
  }
  SUBCASE("training") {
    ErrorCode code = ErrorCode::kCorrupted;
    SUBCASE("") {}
    SUBCASE("even with a reason that is told otherwise") { code = ErrorCode::kResourceExhausted; }
    commands = client(WorkFailed{only<StartWork>(client.until_training(offer_of(1))).ticket, {code, path}});
    CHECK(sent<RoundFailed>(commands).error.code == code);
  }
  CHECK(sent<RoundFailed>(commands).error.message.find("this client's log says why") != std::string::npos);
  CHECK(sent<RoundFailed>(commands).error.message.find("/home") == std::string::npos);
  REQUIRE(has_logged(commands, "round_failed"));
  bool logged = false;
  for (const WriteLog& line : all<WriteLog>(commands))
    for (const LogField& field : line.entry.fields)
      logged = logged || (field.name == "text" && std::get<std::string>(field.value).find(path) != std::string::npos);
  CHECK(logged);
}

TEST_CASE("client: older rounds are late, unless the coordinator has restarted") {
  HandDriven client;
  client.join();
  client.until_delivering(offer_of(2));
  client.receive(UpdateAccepted{offer_of(2).key});
  CHECK(does_nothing(client.receive(offer_of(1))));
  client.receive(RejoinRequired{});
  client.receive(JoinAccepted{"site-1"});
  CHECK(sent<RoundAccept>(client.receive(offer_of(1))).key.round == 1);
}
