#include "tests/client/secure_cohort.h"

using namespace covey;

TEST_CASE("secure round: the sum of a train round is the plain sum of the encodings, bit for bit") {
  SecureCohort cohort;
  cohort.whole_round();
  CHECK(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  CHECK(cohort.server->survivors().count() == 5);
  cohort.check_exact();
  CHECK(cohort.server_refusals.empty());
  const Digest sid = sid_of(cohort.server->config());
  for (const auto& site : cohort.sites) {
    CHECK(site->state_of(sid) == AttemptState::kUnmasked);
    CHECK_FALSE(site->has_row("masked/"));  // delivered and forgotten
    CHECK_FALSE(site->has_row("update/"));
    CHECK(site->blobs.list()->empty());     // the plain update went when the masked one was durable
    CHECK(site->published.empty());
  }
}

TEST_CASE("secure round: an evaluation sends figures alone") {
  SecureCohort cohort;
  cohort.begin(secure_offer(1, 1, RoundKind::kEvaluate));
  cohort.whole_round();
  CHECK(cohort.server->config().vectors.size() == 1);
  cohort.check_exact();
}

TEST_CASE("secure round: whoever falls silent in any phase, the rest is exact") {
  enum class When { kJoin, kShare, kConfirm, kMask, kAgree };
  for (std::uint32_t who = 0; who < 5; ++who)
    for (const When when : {When::kJoin, When::kShare, When::kConfirm, When::kMask, When::kAgree}) {
      CAPTURE(who);
      CAPTURE(static_cast<int>(when));
      SecureCohort cohort;
      const auto fall = [&](When now) {
        if (now == when) cohort.silent.insert(who);
      };
      fall(When::kJoin);
      cohort.offer_all();
      fall(When::kShare);
      cohort.share();
      fall(When::kConfirm);
      cohort.confirm();
      fall(When::kMask);
      cohort.mask();
      fall(When::kAgree);
      cohort.agree();
      REQUIRE(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
      CHECK(cohort.server->survivors().count() == (when == When::kAgree ? 5 : 4));
      cohort.check_exact();
    }
}

TEST_CASE("secure round: an order to mask that comes early waits for the update") {
  SecureCohort cohort;
  for (const auto& site : cohort.sites) site->hold_training = true;
  cohort.until_masked();
  for (const auto& site : cohort.sites) {
    CHECK(site->said.empty());
    CHECK(site->state_of(sid_of(cohort.server->config())) == AttemptState::kJoined);
    REQUIRE(site->held_work.size() == 1);
    site->work_done();
    CHECK(site->all_said<MaskedReady>().size() == 1);
  }
  cohort.carry();
  cohort.agree();
  cohort.check_exact();
}

TEST_CASE("secure round: nothing leaves before its record is durable") {
  SecureCohort cohort;
  SecureSite& site = cohort.at(2);
  site.hold_writes = true;
  const Digest sid = sid_of(cohort.server->config());
  const auto others = [&] { cohort.carry(); };

  site.hear(cohort.offer);
  // The row of the model's blobs is written on the way; it holds nothing back.
  const auto until = [&](const std::function<bool()>& done) {
    while (!done()) {
      REQUIRE_FALSE(site.held_writes.empty());
      site.write_done();
    }
  };
  REQUIRE(site.all_said<RoundAccept>().size() == 1);
  site.held_writes.clear();
  site.hear(SecAggNote{cohort.offer.key, cohort.server->invitation()});
  CHECK(site.state_of(sid) == AttemptState::kJoined);  // written, but not durable
  CHECK(site.all_said<SecAggNote>().empty());
  until([&] { return !site.all_noted<JoinMessage>().empty(); });

  for (std::uint32_t i = 0; i < 5; ++i)
    if (i != 2) cohort.at(i).hear(cohort.offer);
  others();
  cohort.share();
  CHECK(site.all_noted<SharesMessage>().empty());      // before its record names the roster, by which it can still sign an ABORT
  until([&] { return !site.all_noted<SharesMessage>().empty(); });
  others();
  cohort.confirm();
  site.held_writes.clear();
  const auto orders = cohort.server->close_confirmations();
  cohort.send(orders);
  CHECK(site.state_of(sid) == AttemptState::kMasked);
  CHECK_FALSE(site.masked.has_value());                // not even masked yet
  REQUIRE(site.held_writes.size() == 1);
  site.write_done();
  REQUIRE(site.masked.has_value());
  CHECK(site.has_row("masked/"));
  CHECK(site.all_said<MaskedReady>().empty());
  CHECK(site.published.empty());
  CHECK(site.blobs.list()->size() == 2);               // the plain update stays until the masked one is durable
  REQUIRE(site.held_writes.size() == 1);
  site.write_done();
  CHECK(site.all_said<MaskedReady>().size() == 1);
  CHECK(site.blobs.list()->size() == 1);
  others();

  site.held_writes.clear();
  cohort.agree();
  CHECK(site.all_noted<VoteMessage>().empty());
  // The four others are a quorum: the certificate is here before this site's own vote is durable.
  CHECK(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  CHECK(site.state_of(sid) == AttemptState::kUnmasked);
  CHECK(site.all_noted<UnmaskMessage>().empty());
  REQUIRE(site.held_writes.size() == 2);
  site.write_done();
  CHECK(site.all_noted<VoteMessage>().size() == 1);
  CHECK(site.all_noted<UnmaskMessage>().empty());
  site.write_done();
  CHECK(site.all_noted<UnmaskMessage>().size() == 1);
}

TEST_CASE("secure round: what was said is said again, byte for byte") {
  SecureCohort cohort;
  SecureSite& site = cohort.at(1);
  std::vector<Bytes> asked{cohort.server->invitation()};
  cohort.offer_all();
  const auto keep = [&](const Result<std::vector<Outgoing>>& out) {
    REQUIRE(out.has_value());
    const std::uint32_t place = cohort.place_of(1);
    for (const Outgoing& o : *out)
      if (std::find(o.to.begin(), o.to.end(), place) != o.to.end()) asked.push_back(o.message);
    cohort.send(out);
  };
  std::vector<Bytes> answers;
  const auto again = [&] {
    site.now += 1s;
    site.said.clear();
    site.hear(SecAggNote{cohort.offer.key, asked.back()});
    REQUIRE(site.all_said<SecAggNote>().size() == 1);
    const Bytes first = site.all_said<SecAggNote>()[0].content;
    site.said.clear();
    site.hear(SecAggNote{cohort.offer.key, asked.back()});
    CHECK(site.said.empty());  // it is on its way
    site.now += 1s;
    site.hear(SecAggNote{cohort.offer.key, asked.back()});
    REQUIRE(site.all_said<SecAggNote>().size() == 1);
    CHECK(site.all_said<SecAggNote>()[0].content == first);
    site.said.clear();
    site.fire("aggregation");  // nothing has answered
    REQUIRE(site.all_said<SecAggNote>().size() == 1);
    CHECK(site.all_said<SecAggNote>()[0].content == first);
    site.said.clear();
    site.hear(RejoinRequired{});
    site.hear(JoinAccepted{"site-1"});
    REQUIRE(site.all_said<SecAggNote>().size() == 1);
    CHECK(site.all_said<SecAggNote>()[0].content == first);
    answers.push_back(first);
    site.said.clear();
  };
  again();
  keep(cohort.server->close_joins());
  again();
  cohort.tell_server(answers.back());
  cohort.carry();
  keep(cohort.server->close_shares());
  again();
  cohort.tell_server(answers.back());
  cohort.carry();
  cohort.mask();
  keep(cohort.server->close_masks(Digest{{7}}));
  again();
  CHECK(decode_secagg_message(answers.back())->index() == SecAggMessage(VoteMessage{}).index());
  cohort.tell_server(answers.back());
  cohort.carry();
  REQUIRE(cohort.server->certificate().has_value());
  asked.push_back(encode(SecAggMessage(*cohort.server->certificate())));
  again();
  CHECK(decode_secagg_message(answers.back())->index() == SecAggMessage(UnmaskMessage{}).index());
}

TEST_CASE("secure round: a member is busy until its round is closed or overdue, and then free") {
  SecureCohort cohort;
  cohort.until_masked();
  SecureSite& site = cohort.at(0);
  RoundOffer other = secure_offer(1);
  other.key.job = 2;
  site.said.clear();
  site.hear(other);
  REQUIRE(site.all_said<RoundDecline>().size() == 1);
  CHECK(site.all_said<RoundDecline>()[0].reason == DeclineReason::kBusy);
  SUBCASE("closed") { site.hear(RoundClosed{cohort.offer.key, true, ""}); }
  SUBCASE("overdue") { site.fire("deadline"); }
  site.said.clear();
  site.hear(other);
  CHECK(site.all_said<RoundAccept>().size() == 1);
}

TEST_CASE("secure round: whoever gives up at the deadline is free for another job, and still votes to abort") {
  SecureCohort cohort;
  SecureSite& site = cohort.at(0);
  site.hold_training = true;
  cohort.offer_all();
  cohort.share();
  cohort.confirm();
  site.fire("deadline");
  site.said.clear();
  site.hear(SecAggNote{cohort.offer.key, encode(SecAggMessage(AbortRequestMessage{cohort.server->cohort()->id()}))});
  CHECK(site.all_noted<VoteMessage>().size() == 1);
  RoundOffer other = secure_offer(1);
  other.key.job = 2;
  site.said.clear();
  site.hear(other);
  CHECK(site.all_said<RoundAccept>().size() == 1);
}

TEST_CASE("secure round: invitations that this site's owner or job refuses become declines that say why") {
  const auto declined_for = [](const std::function<void(SecAggConfig&)>& change, const std::function<void(ClientPolicy&)>& policy) {
    SecureCohort cohort({5, change});
    policy(cohort.at(3).config.secure);
    cohort.at(3).start();
    cohort.offer_all();
    CHECK_FALSE(cohort.at(3).has_row("secagg/"));
    REQUIRE(cohort.declined.contains(3));
    CHECK(cohort.declined[3].reason == DeclineReason::kPolicy);
    CHECK(cohort.server->joined() == (cohort.declined.size() == 5 ? 0 : 4));
    return cohort.declined[3].text;
  };
  const auto same = [](SecAggConfig&) {};
  const auto any = [](ClientPolicy&) {};
  CHECK(declined_for(same, [](ClientPolicy& p) { p.members_min = 5; }).find("members_min is 4, this site's --members-min is 5") != std::string::npos);
  CHECK(declined_for(same, [](ClientPolicy& p) { p.corrupt_min = 2; }).find("corrupt_max is 1, this site's --corrupt-min is 2") != std::string::npos);
  CHECK(declined_for(same, [](ClientPolicy& p) { p.survivors_min = 6; }).find("survivors_min is 4") != std::string::npos);
  CHECK(declined_for(same, [](ClientPolicy& p) { p.honest_min = 4; }).find("--honest-min is 4") != std::string::npos);
  CHECK(declined_for(same, [](ClientPolicy& p) { p.sigma_min = 81; }).find("sigma is 80") != std::string::npos);
  CHECK(declined_for(same, [](ClientPolicy& p) { p.dropout_max_millionths = 99'999; }).find("this site's --dropout-max is 0.099999") != std::string::npos);
  CHECK(declined_for([](SecAggConfig& c) { c.model.bytes[3] ^= 1; }, any).find("model") != std::string::npos);
  CHECK(declined_for([](SecAggConfig& c) { c.vectors[0].values += 1; }, any).find("list of vectors") != std::string::npos);
  CHECK(declined_for([](SecAggConfig& c) { c.vectors.pop_back(); }, any).find("list of vectors") != std::string::npos);
  CHECK(declined_for([](SecAggConfig& c) { c.data_scope = "other"; }, any).find("data scope") != std::string::npos);
  // So many members that the sum would be too coarse.
  SecureCohort cohort;
  auto invite = std::get<InviteMessage>(*decode_secagg_message(cohort.server->invitation()));
  invite.config.members_max = 60'000;
  SecureSite& site = cohort.at(0);
  const Bytes narrow = config_bytes(std::string(kSecureJob) + "ring_bits = 20\n");
  site.served[blob_ref_of(narrow).id] = narrow;
  cohort.offer.config = blob_ref_of(narrow);
  site.hear(cohort.offer);
  REQUIRE(site.all_said<RoundAccept>().size() == 1);
  site.said.clear();
  site.hear(SecAggNote{cohort.offer.key, encode(SecAggMessage(invite))});
  REQUIRE(site.all_said<RoundDecline>().size() == 1);
  CHECK(site.all_said<RoundDecline>()[0].text.find("privacy.ring_bits") != std::string::npos);
}

TEST_CASE("secure round: a roster with a key that this site has not pinned becomes a decline that names it") {
  SecureCohort cohort;
  const auto key = [&](std::uint32_t i) { return cohort.at(i).credential.key; };
  cohort.at(2).config.secure.pinned = {key(0), key(1), key(2), key(3)};
  cohort.at(2).start();
  cohort.offer_all();
  CHECK(cohort.declined.empty());
  const auto roster = cohort.server->close_joins();
  REQUIRE(roster.has_value());
  SecureSite& site = cohort.at(2);
  site.said.clear();
  site.hear(SecAggNote{cohort.offer.key, (*roster)[0].message});
  REQUIRE(site.said.size() == 1);
  const RoundDecline decline = site.all_said<RoundDecline>().at(0);
  CHECK(decline.reason == DeclineReason::kPolicy);
  CHECK(decline.text.find(short_hex(key(4))) != std::string::npos);
  CHECK(decline.text.find("not pinned") != std::string::npos);
  CHECK(decline.text.size() <= kErrorTextBytesMax);
}

TEST_CASE("secure round: a join that is said again while the others share is no fault") {
  SecureCohort cohort;
  cohort.offer_all();
  const auto roster = cohort.server->close_joins();
  REQUIRE(roster.has_value());
  RosterEntry entry = std::get<RosterMessage>(*decode_secagg_message((*roster)[0].message)).entries[0];
  const auto said = [&](const RosterEntry& of) {
    return cohort.server->handle(encode(SecAggMessage(JoinMessage{sid_of(cohort.server->config()), of})));
  };
  CHECK(said(entry).error().code == ErrorCode::kAlreadyExists);
  entry.nonce.bytes[0] ^= 1;
  CHECK(said(entry).error().code == ErrorCode::kInvalidMessage);
}

TEST_CASE("secure round: without a credential, a key or chance of its own a client declines") {
  const auto declined_by = [](const std::function<void(SecureSite&)>& change) {
    SecureCohort cohort;
    SecureSite& site = cohort.at(0);
    std::erase_if(site.rows, [](const Row& row) { return row.key == "credential"; });
    change(site);
    site.start();
    site.hear(cohort.offer);
    REQUIRE(site.all_said<RoundDecline>().size() == 1);
    return site.all_said<RoundDecline>()[0].text;
  };
  CHECK(declined_by([](SecureSite& s) { s.credential.signature.bytes[0] ^= 1; }).find("covey vouch") != std::string::npos);
  CHECK(declined_by([](SecureSite& s) { s.config.signing = nullptr; }).find("signing key") != std::string::npos);
  CHECK(declined_by([](SecureSite& s) { s.config.random = nullptr; }).find("signing key") != std::string::npos);
}
