#include "tests/coordinator/driver.h"

namespace covey {

TEST_CASE("operator: a client may not command") {
  Driver d(1);
  d.join(d.client(0));
  d.from(d.client(0), OperatorRequest{5, StopJob{1}});
  const auto reply = d.last<OperatorReply>(d.client(0).key());
  REQUIRE(reply);
  CHECK(reply->id == 5);
  CHECK(std::get<Error>(reply->answer).code == ErrorCode::kPermissionDenied);
}

TEST_CASE("operator: commands need no join, and an operator that joins is never selected") {
  Driver d(2);
  d.join_all();
  CHECK(std::get<JobRows>(d.ask(ListJobs{})).rows.empty());
  d.join(boss());
  CHECK(d.last<JoinAccepted>(boss().key()));
  d.submit(job_text("[selection]\nmin_clients = 3\n"));
  CHECK(d.count<RoundOffer>() == 0);
}

TEST_CASE("operator: a submission is durable before it is confirmed, and counts once") {
  Driver d;
  d.withhold_writes = true;
  d.submit(job_text(), 7);
  CHECK(d.count<OperatorReply>() == 0);
  d.release_writes();
  REQUIRE(d.count<OperatorReply>() == 1);
  CHECK(std::get<Submitted>(d.last<OperatorReply>(boss().key())->answer).job == 1);
  CHECK(std::get<Submitted>(d.submit(job_text(), 7)).job == 1);
  d.restart();
  CHECK(std::get<Submitted>(d.submit(job_text(), 7)).job == 1);
  CHECK(std::get<Submitted>(d.submit(job_text(), 8)).job == 2);
  CHECK(std::get<JobRows>(d.ask(ListJobs{})).rows.size() == 2);
  CHECK(std::get<JobRows>(d.ask(ListJobs{1})).rows.size() == 1);
}

TEST_CASE("operator: a submission repeated while its file comes is answered once, to the last request") {
  Driver d;
  d.hold_fetches = true;
  d.submit(job_text(), 7);
  d.submit(job_text(), 7);
  REQUIRE(d.held_fetches.size() == 1);
  const FetchBlob fetch = d.held_fetches.front();
  d.deliver(BlobFetched{fetch.ticket, fetch.blob, d.served[boss().key()][fetch.blob.id]});
  REQUIRE(d.count<OperatorReply>() == 1);
  CHECK(d.last<OperatorReply>(boss().key())->id == 2);
}

TEST_CASE("operator: a bad job file comes back with the parser's words") {
  Driver d;
  const auto refused = std::get<Error>(d.submit(job_text("[selection]\nmin_client = 2\n")));
  CHECK(refused.message.find("min_client") != std::string::npos);
  const auto large = std::get<Error>(d.submit(job_text() + std::string(kJobTomlBytesMax, '#'), 2));
  CHECK(large.message.find("65536") != std::string::npos);
  d.served.clear();
  const BlobRef missing = blob_ref_of(bytes_of("rounds = 1"));
  CHECK(std::get<Error>(d.ask(SubmitJob{3, missing})).message.find("did not arrive") != std::string::npos);
  CHECK(std::get<JobRows>(d.ask(ListJobs{})).rows.empty());
}

TEST_CASE("operator: the public configuration is there once the job has started") {
  Driver d;
  d.submit(job_text(), 1);
  d.submit(job_text(), 2);
  const auto detail = std::get<JobDetail>(d.ask(ShowConfig{1}));
  CHECK(d.published.contains(detail.config.id));
  CHECK(text_of(d.blobs.get(detail.config.id).value()) == public_toml(parse_job(job_text()).value()));
  CHECK(std::get<Error>(d.ask(ShowConfig{2})).code == ErrorCode::kUnavailable);
  CHECK(std::get<Error>(d.ask(ShowConfig{3})).code == ErrorCode::kNotFound);
}

TEST_CASE("operator: lists come in pages of fifty") {
  Driver d(119);  // and the operator
  const auto first = std::get<NodeRows>(d.ask(ListNodes{0})).rows;
  const auto second = std::get<NodeRows>(d.ask(ListNodes{50})).rows;
  const auto third = std::get<NodeRows>(d.ask(ListNodes{100})).rows;
  CHECK(first.size() == kPageRowsMax);
  CHECK(second.size() == kPageRowsMax);
  CHECK(third.size() == 20);
  CHECK(std::get<NodeRows>(d.ask(ListNodes{500})).rows.empty());
  CHECK(first.back().key < second.front().key);
  for (std::uint64_t nonce = 1; nonce <= 60; ++nonce) d.submit(job_text(), nonce);
  const auto jobs = std::get<JobRows>(d.ask(ListJobs{0})).rows;
  CHECK(jobs.size() == kPageRowsMax);
  CHECK(std::get<JobRows>(d.ask(ListJobs{jobs.back().job})).rows.size() == 10);
  const auto journal = std::get<JournalRows>(d.ask(ReadJournal{0, 0})).rows;
  CHECK(journal.size() == kPageRowsMax);
  const auto next = std::get<JournalRows>(d.ask(ReadJournal{0, journal.back().sequence})).rows;
  CHECK(next.front().sequence == journal.back().sequence + 1);
  CHECK(std::get<JournalRows>(d.ask(ReadJournal{60, 0})).rows.size() == 1);
}

TEST_CASE("operator: a list says whole why each job waits") {
  Driver d(3);
  d.join_all();
  for (std::uint64_t nonce = 1; nonce <= 3; ++nonce) d.submit(job_text("[selection]\nmin_clients = 3\n"), nonce);
  const std::string why(250, 'w');
  for (std::size_t n = 0; n < 3; ++n) d.from(d.client(n), RoundDecline{{1, 1, 1}, DeclineReason::kPolicy, why});
  d.advance(6s);
  const auto jobs = std::get<JobRows>(d.ask(ListJobs{0})).rows;
  REQUIRE(jobs.size() == 3);
  CHECK(jobs[0].text.ends_with(why));
  CHECK(jobs[0].text == std::get<JobDetail>(d.ask(ShowJob{1, 0})).summary.text);
}

TEST_CASE("operator: clients' figures come in pages") {
  Driver d(60);
  d.join_all();
  d.submit(job_text());
  const std::size_t half = 60;
  for (std::size_t n = 0; n < half; ++n)
    if (d.offer_to(d.client(n))) d.deliver_update(d.client(n));
  const auto shown = std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered;
  const auto first = std::get<ClientRows>(d.ask(ShowClients{1, 1, 0})).rows;
  const auto rest = std::get<ClientRows>(d.ask(ShowClients{1, 1, 50})).rows;
  CHECK(first.size() == kPageRowsMax);
  CHECK(first.size() + rest.size() == shown);
  CHECK(std::get<Error>(d.ask(ShowClients{1, 9, 0})).code == ErrorCode::kNotFound);
}

TEST_CASE("operator: revokes by name or by key, never by guess") {
  Driver d(3);
  d.join_all();
  const std::string key = hex(d.client(1).key().span());
  CHECK(std::get<Error>(d.ask(RevokeNode{key.substr(0, 5)})).code == ErrorCode::kNotFound);
  CHECK(std::get<Error>(d.ask(RevokeNode{"nobody"})).code == ErrorCode::kNotFound);
  CHECK(std::get<Error>(d.ask(RevokeNode{"boss"})).message.find("only operator") != std::string::npos);
  CHECK(std::holds_alternative<Done>(d.ask(RevokeNode{key.substr(0, 8)})));
  CHECK(std::holds_alternative<Done>(d.ask(RevokeNode{"client-2"})));
  CHECK(std::get<Done>(d.ask(RevokeNode{"client-2"})).text.find("already") != std::string::npos);
  CHECK_FALSE(d.admitted.contains(d.client(1).key()));
  d.restart();
  CHECK_FALSE(d.admitted.contains(d.client(1).key()));
  CHECK(d.admitted.contains(d.client(0).key()));
  const std::size_t before = d.sent.size();
  d.join(d.client(1));
  CHECK(d.sent.size() == before);
}

TEST_CASE("operator: an ambiguous key lists the candidates") {
  Driver d(1);
  const std::string prefix = hex(d.client(0).key().span()).substr(0, 6);
  const Identity named = identity(77, prefix);  // a node called like another's key
  d.config().operators.push_back(named.certificate);
  d.restart();
  const auto error = std::get<Error>(d.ask(RevokeNode{prefix}));
  CHECK(error.code == ErrorCode::kInvalidArgument);
  CHECK(error.message.find("client-0") != std::string::npos);
  CHECK(error.message.find(short_hex(named.key())) != std::string::npos);
}

TEST_CASE("operator: acts are in the journal") {
  Driver d(1);
  d.submit(job_text());
  d.ask(StopJob{1});
  d.ask(RevokeNode{"client-0"});
  std::string all;
  const auto journal = std::get<JournalRows>(d.ask(ReadJournal{}));
  for (const JournalEntry& entry : journal.rows) all += entry.text + "\n";
  for (const char* part : {"operator boss enrolled", "submitted by boss", "started", "stopped by boss", "revoked"})
    CHECK(all.find(part) != std::string::npos);
}

}  // namespace covey
