// What one job may take, and how several that run at once share nodes.
#include <algorithm>
#include <set>

#include "coordinator/turns.h"
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";

std::string refusal(Driver& d, const std::string& toml, std::uint64_t nonce) {
  const OperatorAnswer answer = d.submit(toml, nonce);
  const auto* error = std::get_if<Error>(&answer);
  return error == nullptr ? "" : error->message;
}

// Nodes that were offered the latest round of `job`.
std::vector<std::size_t> cohort(Driver& d, JobId job, std::size_t clients) {
  std::optional<RoundKey> latest;
  for (std::size_t n = 0; n < clients; ++n)
    for (const RoundOffer& offer : d.all<RoundOffer>(d.client(n).key()))
      if (offer.key.job == job) latest = latest ? std::max(*latest, offer.key) : offer.key;
  std::vector<std::size_t> members;
  for (std::size_t n = 0; n < clients; ++n) {
    const auto offers = d.all<RoundOffer>(d.client(n).key());
    if (std::any_of(offers.begin(), offers.end(), [&](const RoundOffer& offer) { return offer.key == latest; }))
      members.push_back(n);
  }
  return members;
}

// Everyone who works delivers, in the order of the clients' numbers.
void deliver_all(Driver& d, std::size_t clients) {
  for (std::size_t n = 0; n < clients; ++n)
    if (d.offer_to(d.client(n))) d.deliver_update(d.client(n));
}

void fetched(Driver& d, std::size_t at) {
  const FetchBlob fetch = d.held_fetches.at(at);
  d.held_fetches.erase(d.held_fetches.begin() + static_cast<std::ptrdiff_t>(at));
  REQUIRE(d.blobs.put(d.served[fetch.from][fetch.blob.id]));
  d.deliver(BlobFetched{fetch.ticket, fetch.blob, {}});
}

}  // namespace

TEST_CASE("quota: a round asks no more nodes than the job may engage, and over-selection keeps its share") {
  Driver d(12);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\nover_selection = 0.5\n[quota]\nnodes_max = 6\n"));
  CHECK(d.count<RoundOffer>() == 6);
  const std::vector<std::size_t> asked = cohort(d, 1, 12);
  for (std::size_t i = 0; i < 4; ++i) d.deliver_update(d.client(asked[i]));  // 4 are wanted, half as many more are asked
  CHECK(d.job().round == 1);
}

TEST_CASE("quota: what the coordinator gives any job bounds one that says nothing, and refuses one that asks for more") {
  Driver d(12);
  d.config().job_caps = {5, 256};  // eight updates of 32 bytes
  d.restart();
  d.join_all();
  CHECK(refusal(d, job_text("[quota]\nnodes_max = 6\n"), 1) ==
        "quota.nodes_max = 6: this coordinator gives one job at most 5 clients at once (--job-nodes-max); lower it");
  CHECK(refusal(d, job_text("[selection]\nmin_clients = 6\n"), 2).find("selection.min_clients = 6: this coordinator") == 0);
  CHECK(refusal(d, job_text("[quota]\nupdate_bytes_max = \"1 KiB\"\n"), 3) ==
        "quota.update_bytes_max = \"1 KiB\": this coordinator gives one job at most 256 B of updates at once "
        "(--job-updates-max); lower it");
  CHECK(d.count<RoundOffer>() == 0);
  REQUIRE(refusal(d, job_text(kTwo), 4).empty());
  CHECK(d.count<RoundOffer>() == 5);
  d.config().job_caps = {1, 0};
  d.restart();
  CHECK(d.job(1).state == JobState::kRunning);  // what runs is bounded, as far as its min_clients allow, not ended
  d.sent.clear();
  d.config().job_caps = {0, 63};  // two updates of 32 bytes do not fit any more
  d.restart();
  CHECK(refusal(d, job_text(kTwo), 5).find("2 updates of 32 bytes: this coordinator gives one job at most 63 B") == 0);
  CHECK(refusal(d, "durability = \"attempt\"\n" + job_text(kTwo), 6).empty());
}

TEST_CASE("quota: a job that was submitted to a more generous coordinator fails by name when its turn comes") {
  Driver d(3);
  d.join_all();
  d.submit(job_text(kTwo), 1);
  d.submit(job_text("[selection]\nmin_clients = 3\n"), 2);
  d.config().job_caps.nodes_max = 2;
  d.restart();
  d.ask(StopJob{1});
  CHECK(d.job(2).state == JobState::kFailed);
  CHECK(d.job(2).text.find("--job-nodes-max") != std::string::npos);
}

TEST_CASE("quota: updates beyond the bytes wait, and none fails") {
  Driver d(8);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\nover_selection = 1\n[quota]\nupdate_bytes_max = \"128 B\"\n"));
  d.hold_fetches = true;
  CHECK(d.count<RoundOffer>() == 8);  // 4 updates have room, twice as many are asked
  for (std::size_t n = 0; n < 8; ++n) d.deliver_update(d.client(n));
  REQUIRE(d.held_fetches.size() == 4);
  fetched(d, 0);
  fetched(d, 0);
  CHECK(d.count<UpdateAccepted>() == 2);
  CHECK(d.held_fetches.size() == 2);  // what was accepted is held until the commit
  const FetchBlob failing = d.held_fetches.front();
  d.held_fetches.erase(d.held_fetches.begin());
  d.deliver(BlobFailed{failing.ticket, Error{ErrorCode::kUnavailable, "its sender is away"}});
  REQUIRE(d.held_fetches.size() == 2);  // another took its room
  fetched(d, 0);
  fetched(d, 0);
  CHECK(d.job().round == 1);
  CHECK(d.count<UpdateRefused>() == 0);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 4);
  CHECK(d.logged("attempt_abandoned") == 0);
}

TEST_CASE("quota: updates that are summed as they come make room at once") {
  Driver d(5);
  d.join_all();
  d.submit("durability = \"attempt\"\n" + job_text(kTwo + "[quota]\nupdate_bytes_max = \"64 B\"\n"));
  d.hold_fetches = true;
  CHECK(d.count<RoundOffer>() == 5);
  for (std::size_t n = 0; n < 5; ++n) d.deliver_update(d.client(n));
  for (std::size_t n = 0; n < 5; ++n) {
    CHECK(d.held_fetches.size() == std::min<std::size_t>(2, 5 - n));
    fetched(d, 0);
  }
  CHECK(d.job().round == 1);
}

namespace {

// Time passes, and everyone is there.
void live_on(Driver& d, std::size_t clients, int seconds) {
  for (int i = 0; i < seconds; ++i) {
    d.advance(1s);
    for (std::size_t n = 0; n < clients; ++n) d.from(d.client(n), Heartbeat{1});
  }
}

const std::string kSlow = "[selection]\nmin_clients = 2\nover_selection = 1\n[round]\ndeadline_s = 200\n";  // a turn: 30 s

}  // namespace

TEST_CASE("quota: what is kept of slow senders counts, and gives way, the last turn first, so that nobody is stuck") {
  Driver d(8);
  d.join_all();
  d.submit(job_text(kSlow + "[quota]\nupdate_bytes_max = \"160 B\"\n"));  // five updates of 32 bytes
  d.hold_fetches = true;
  for (std::size_t n = 0; n < 8; ++n) d.deliver_update(d.client(n));
  REQUIRE(d.held_fetches.size() == 5);
  std::size_t most = 0;
  std::set<PeerKey> had_a_turn;
  const auto look = [&] {
    most = std::max(most, d.held_fetches.size() + d.parts.size());
    for (const FetchBlob& fetch : d.held_fetches) had_a_turn.insert(fetch.from);
  };
  look();
  live_on(d, 8, 31);  // nothing comes of the five: three others get their places, and two of the parts must go for it
  CHECK(d.held_fetches.size() == 5);
  CHECK(d.resumed == 2);
  look();
  CHECK(had_a_turn.size() == 8);
  for (int turn = 0; turn < 3; ++turn) {
    live_on(d, 8, 31);
    look();
  }
  CHECK(most == 5);
  while (!d.held_fetches.empty()) {
    fetched(d, 0);
    CHECK(d.held_fetches.size() + d.parts.size() + d.count<UpdateAccepted>() <= 5);
  }
  CHECK(d.job().round == 1);  // five were wanted
  CHECK(d.parts.empty());
  CHECK(d.logged("attempt_abandoned") == 0);
}

TEST_CASE("quota: without one, what is kept of slow senders is resumed, and no more of it is kept than is fetched at once") {
  constexpr std::size_t kClients = 80, kAtOnce = 32;
  Driver d(kClients);
  d.join_all();
  d.submit("durability = \"attempt\"\n" + job_text(kSlow));
  d.hold_fetches = true;
  for (std::size_t n = 0; n < kClients; ++n) {
    UpdateReady ready = d.ready(d.client(n), d.offer_to(d.client(n)).value());
    ready.update = d.lay_out(d.client(n).key(), bytes_of_floats(std::vector<float>(8, 0.01F * static_cast<float>(n + 1))));
    d.from(d.client(n), ready);
  }
  REQUIRE(d.held_fetches.size() == kAtOnce);
  live_on(d, kClients, 31);
  CHECK(d.held_fetches.size() == kAtOnce);
  CHECK(d.parts.size() == kAtOnce);
  live_on(d, kClients, 31);  // 32 parts of 64 stay; 16 have their turn that had none, then 16 of which a part is here
  CHECK(d.resumed == 16);
  CHECK(d.parts.size() == 16);
  d.hold_fetches = false;
  while (!d.held_fetches.empty() && d.job().round == 0) fetched(d, 0);
  CHECK(d.job().round == 1);
  CHECK(d.parts.empty());  // the round is over
}

TEST_CASE("quota: a part of a client's update is kept while it is away, until it has another") {
  Driver d(3);
  d.join_all();
  d.submit(job_text(kTwo));
  d.hold_fetches = true;
  d.deliver_update(d.client(0));
  REQUIRE(d.held_fetches.size() == 1);
  const FetchBlob cut = d.held_fetches.front();
  d.held_fetches.clear();
  d.parts.insert(cut.blob.id);  // what a transfer keeps when it gives up
  d.deliver(BlobFailed{cut.ticket, Error{ErrorCode::kUnavailable, "nothing came for 60 s"}});
  CHECK(d.parts.contains(cut.blob.id));
  d.deliver_update(d.client(0));  // the same again
  CHECK(d.resumed == 1);
  d.parts.insert(cut.blob.id);
  d.deliver(BlobFailed{d.held_fetches.front().ticket, Error{ErrorCode::kUnavailable, "nothing came for 60 s"}});
  d.held_fetches.clear();
  UpdateReady other = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  other.update = d.lay_out(d.client(0).key(), Bytes(32, 1));
  d.from(d.client(0), other);
  CHECK(d.parts.empty());
  REQUIRE(d.held_fetches.size() == 1);
  CHECK(d.held_fetches.front().blob == *other.update);
}

TEST_CASE("quota: parts that a process before this one left count until their updates are announced, and give way") {
  Driver d(8);
  d.join_all();
  d.submit(job_text(kSlow + "[quota]\nupdate_bytes_max = \"128 B\"\n"));  // four updates of 32 bytes
  d.hold_fetches = true;
  for (std::size_t n = 0; n < 8; ++n) d.deliver_update(d.client(n));
  REQUIRE(d.held_fetches.size() == 4);
  std::vector<BlobRef> cut;
  for (const FetchBlob& fetch : d.held_fetches) cut.push_back(fetch.blob);
  d.held_fetches.clear();
  std::sort(cut.begin(), cut.end(), [](const BlobRef& a, const BlobRef& b) { return a.id < b.id; });
  const BlobRef foreign{sha256(bytes_of("a job's text")), 777};  // nobody waits for it
  for (const BlobRef& part : cut) d.parts.insert(part.id);
  d.parts.insert(foreign.id);
  d.config().partials = cut;
  d.config().partials.push_back(foreign);
  d.restart();
  CHECK(d.parts.size() == 4);
  CHECK_FALSE(d.parts.contains(foreign.id));
  d.join_all();
  std::size_t announced = 0;
  for (std::size_t n = 0; n < 8; ++n) {
    d.deliver_update(d.client(n));
    ++announced;
    CHECK(d.held_fetches.size() + d.parts.size() <= 4);  // what is here and what is coming
    CHECK(d.held_fetches.size() == std::min<std::size_t>(announced, 4));
  }
  while (!d.held_fetches.empty()) fetched(d, 0);
  CHECK(d.job().round == 1);
  CHECK(d.parts.empty());
}

TEST_CASE("quota: a part from before a restart is gone on with, and one that nobody announces goes with the round") {
  Driver d(3);
  d.join_all();
  d.submit(job_text(kTwo));
  d.hold_fetches = true;
  d.deliver_update(d.client(0));
  REQUIRE(d.held_fetches.size() == 1);
  const BlobRef cut = d.held_fetches.front().blob, lost{sha256(bytes_of("of one that stays away")), 32};
  d.held_fetches.clear();
  d.parts = {cut.id, lost.id};
  d.config().partials = {cut, lost};
  d.restart();
  d.config().partials.clear();
  d.join_all();
  CHECK(d.parts.size() == 2);
  d.deliver_update(d.client(0));
  CHECK(d.resumed == 1);
  CHECK(d.parts == std::set<Digest>{lost.id});
  fetched(d, 0);
  for (std::size_t n = 1; n < 3; ++n) {
    d.deliver_update(d.client(n));
    fetched(d, 0);
  }
  CHECK(d.job().round == 1);
  CHECK(d.parts.empty());
}

TEST_CASE("quota: where no round takes updates, what was fetched in part before a restart is erased") {
  Driver d(3);
  d.join_all();
  d.submit("durability = \"attempt\"\n" + job_text(kTwo));
  const BlobRef left{sha256(bytes_of("left")), 32};
  d.parts = {left.id};
  d.config().partials = {left};
  d.restart();
  CHECK(d.parts.empty());
}

TEST_CASE("quota: a round that a restart takes up keeps its room, with less from then on") {
  Driver d(6);
  d.join_all();
  d.submit(job_text(kTwo));
  for (std::size_t n = 0; n < 3; ++n) d.deliver_update(d.client(n));
  d.config().job_caps.update_bytes_max = 64;
  d.restart();
  d.join_all();
  for (std::size_t n = 3; n < 6; ++n) d.deliver_update(d.client(n));
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 6);
  CHECK(cohort(d, 1, 6).size() == 2);
}

TEST_CASE("shares: nobody gets more than it asks for, and what the modest leave is shared by the rest") {
  CHECK(fair_share(10, {10}) == 5);
  CHECK(fair_share(11, {11}) == 6);
  CHECK(fair_share(10, {2}) == 8);
  CHECK(fair_share(10, {2, 10}) == 4);
  CHECK(fair_share(10, {10, 10, 10, 10}) == 2);
  CHECK(fair_share(0, {3}) == 0);
}

TEST_CASE("shares: jobs that run at once divide the nodes evenly") {
  Driver d(10, 2);
  d.join_all();
  d.submit(job_text(kTwo, 20), 1);
  CHECK(cohort(d, 1, 10).size() == 10);  // alone it takes all
  d.submit(job_text(kTwo, 20), 2);
  CHECK(d.job(2).text == "waiting for its turn: 0 of 2 clients are free, the others are busy");
  CHECK(d.logged("waiting_for_clients") == 0);
  deliver_all(d, 10);
  CHECK(cohort(d, 2, 10).size() == 5);
  CHECK(cohort(d, 1, 10).size() == 5);
  d.ask(StopJob{2});
  deliver_all(d, 10);
  CHECK(cohort(d, 1, 10).size() == 10);
}

TEST_CASE("shares: a job that cannot use its share leaves it to the other") {
  Driver d(10, 3);
  d.join_all();
  d.submit(job_text(kTwo + "[quota]\nnodes_max = 2\n", 20), 1);
  d.submit(job_text("[selection]\nmin_clients = 11\n", 20), 2);  // so many are not there
  d.submit(job_text(kTwo, 20), 3);
  CHECK(cohort(d, 1, 10).size() == 2);
  CHECK(cohort(d, 3, 10).size() == 8);
  CHECK(d.job(2).text.find("waiting for clients: 10 of 11 there") == 0);
}

TEST_CASE("shares: two jobs that each need all nodes take turns") {
  Driver d(2, 2);
  d.join_all();
  d.submit(job_text(kTwo, 4), 1);
  d.submit(job_text(kTwo, 4), 2);
  std::uint32_t apart = 0;
  for (int step = 0; step < 40; ++step) {
    deliver_all(d, 2);
    const std::uint32_t one = d.job(1).round, two = d.job(2).round;
    apart = std::max(apart, one > two ? one - two : two - one);
  }
  CHECK(apart == 1);
  CHECK(d.job(1).state == JobState::kFinished);
  CHECK(d.job(2).state == JobState::kFinished);
}

TEST_CASE("shares: a job that needs many nodes is left those that become free, and holds nobody up for ever") {
  Driver d(6, 3);
  d.join_all();
  const std::string small = "[selection]\nmin_clients = 1\n[quota]\nnodes_max = 3\n[round]\ndeadline_s = 100\n";
  d.submit(job_text(small, 50), 1);
  d.submit(job_text(small, 50), 2);
  d.submit(job_text("[selection]\nmin_clients = 6\n", 50), 3);
  CHECK(d.job(3).text.find("waiting for its turn: 0 of 6") == 0);
  const auto live = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      d.advance(1s);
      for (std::size_t n = 0; n < 6; ++n) d.from(d.client(n), Heartbeat{1});
    }
  };
  const std::vector<std::size_t> first = cohort(d, 1, 6), second = cohort(d, 2, 6);
  REQUIRE((first.size() == 3 && second.size() == 3));
  for (const std::size_t n : first) d.deliver_update(d.client(n));
  CHECK(d.job(1).round == 1);
  CHECK(d.job(1).text == "waiting for its turn: job 3 has waited longer");
  live(20);
  CHECK(d.job(1).text == "waiting for its turn: job 3 has waited longer");
  for (const std::size_t n : second) d.deliver_update(d.client(n));
  CHECK(cohort(d, 3, 6).size() == 6);
  CHECK(d.job(1).text.find("waiting for its turn: 0 of 1") == 0);
  deliver_all(d, 6);
  CHECK(d.job(3).round == 1);
  CHECK(cohort(d, 1, 6).size() == 2);  // a third, for job 3 competes
  // Now job 2 works on and on: job 1 leaves its nodes to job 3 as long as a round of its own may take.
  for (const std::size_t n : cohort(d, 1, 6)) d.deliver_update(d.client(n));
  CHECK(d.job(1).round == 2);
  const auto offers = d.count<RoundOffer>();
  live(95);
  CHECK(d.job(1).round == 2);
  live(30);
  CHECK(d.count<RoundOffer>() > offers);
}

}  // namespace covey
