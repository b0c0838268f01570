// A thousand members and their coordinator, all real state machines with real keys, in one process on two
// threads. What is the same for all of them (the roster's signatures, the ring's order, a committee
// member's signature) each thread computes once, as PublicWork says; everything else a thousand times.
#include <cstdio>
#include <ctime>
#include <latch>
#include <string>

#include "bench/secagg/rows.h"
#include "privacy/secagg_server.h"

namespace covey::bench {
namespace {

constexpr std::uint32_t kMembers = 1000;
constexpr std::size_t kThreads = 2;
constexpr std::size_t kValues = 100'000;
constexpr std::uint32_t kAtOnce = 50;  // masked vectors in memory

struct Person {
  SigningKey key;
  MemberCredential credential;
  AttemptBook book;
  std::unique_ptr<SecAggClient> client;
  std::vector<std::uint64_t> masked;
  Digest hash;
  std::vector<Bytes> answers;
  std::size_t sent = 0;
  std::size_t received = 0;
};

class CohortRun {
 public:
  CohortRun() : authority_(SigningKey::generate(random_)), pool_(kThreads), works_(kThreads, PublicWork(PublicWork::Memory::kRemember)) {
    config_.stage = config_.data_scope = "bench";
    config_.members_min = config_.members_max = kMembers;
    config_.survivors_min = 700;
    config_.corrupt_max = 100;
    config_.gamma_millionths = config_.dropout_millionths = 100'000;
    config_.vectors = {{"update", 32, kValues}};
    policy_.authority = authority_.public_key();
    policy_.corrupt_min = 100;
    people_.reserve(kMembers);
    for (std::uint32_t i = 0; i < kMembers; ++i) {
      people_.push_back(Person{SigningKey::generate(random_), {}, {}, nullptr, {}, {}, {}});
      Person& p = people_.back();
      p.credential.subject.bytes = {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
      p.credential.key = p.key.public_key();
      sign(p.credential, authority_);
    }
    server_ = std::move(*SecAggServer::begin(config_, authority_.public_key(), works_[0], random_));
    for (std::uint32_t i = 0; i < kMembers; ++i)  // in order: places are numbers
      people_[i].client = std::make_unique<SecAggClient>(
          SecAggMember{people_[i].key, people_[i].credential, policy_, true},
          ClientTerms{config_.task, config_.round, config_.stage, config_.data_scope, config_.model, config_.training, config_.vectors},
          people_[i].book, works_[i % kThreads], random_);
  }

  bool run() {
    deliver({{all(), server_->invitation()}});
    if (!carry(server_->close_joins()) || !carry(server_->close_shares())) return false;
    auto orders = server_->close_confirmations();
    if (!orders) return false;
    // A tenth falls silent after sharing; the rest mask, a few at a time.
    std::vector<std::uint32_t> some;
    for (const std::uint32_t who : (*orders)[0].to) {
      if (who % 10 != 0) some.push_back(who);
      if (some.size() < kAtOnce && who != kMembers - 1) continue;
      deliver({{some, (*orders)[0].message}});
      for (const std::uint32_t one : some) count(one);
      some.clear();
    }
    if (!carry(server_->close_masks({})) || !server_->can_recover()) return false;
    const auto recovery = server_->close_unmasking();
    if (!recovery) return false;
    const auto recovered = recover(*recovery, pool_);
    if (!recovered.closed.empty()) return false;
    sum_.unmask(recovered.plan, pool_);
    for (const std::int64_t value : sum_.values(0))
      if (value != 900) return false;
    return true;
  }
  std::size_t control_bytes() const {
    std::size_t most = 0;
    for (const Person& p : people_) most = std::max(most, p.sent + p.received);
    return most;
  }
  std::string graph() const {
    const Graph& g = server_->cohort()->graph();
    return "k=" + std::to_string(g.degree) + " t=" + std::to_string(g.threshold) + " Q=" + std::to_string(g.quorum) + " of " + std::to_string(g.committee);
  }

 private:
  static std::vector<std::uint32_t> all() {
    std::vector<std::uint32_t> result;
    for (std::uint32_t i = 0; i < kMembers; ++i) result.push_back(i);
    return result;
  }
  bool carry(const Result<std::vector<Outgoing>>& out) {
    if (!out) return false;
    deliver(*out);
    return true;
  }
  // Each thread owns every second member, and the public work they share.
  void deliver(const std::vector<Outgoing>& out) {
    std::latch done(kThreads);
    for (std::size_t thread = 0; thread < kThreads; ++thread)
      pool_.submit([&, thread] {
        for (const Outgoing& o : out)
          for (const std::uint32_t to : o.to)
            if (to % kThreads == thread) act(people_[to], o.message);
        done.count_down();
      });
    done.wait();
    std::vector<Outgoing> more;
    for (Person& p : people_) {
      for (const Bytes& answer : p.answers) {
        p.sent += answer.size();
        auto reply = server_->handle(answer);
        if (reply)
          for (Outgoing& o : *reply) more.push_back(std::move(o));
      }
      p.answers.clear();
    }
    if (!more.empty()) deliver(more);
  }
  void act(Person& p, const Bytes& message) {
    p.received += message.size();
    auto step = p.client->handle(message, Instant{});
    if (!step) return;
    if (step->mask) {
      const Ring ring = *Ring::of_width(32);
      p.masked = pack(std::vector<std::int64_t>(kValues, 1), ring);
      apply_masks({p.masked, 0}, terms_of(*step->mask, 0), ring, step->mask->cipher);
      p.hash = MaskedHash(step->mask->sid).begin(0, config_.vectors[0]).update(p.masked).finish();
      step = p.client->on_masked(p.hash, Instant{});
      if (!step) return;
    }
    p.answers = std::move(step->messages);
  }
  void count(std::uint32_t who) {
    Person& p = people_[who];
    if (server_->on_vectors(who, p.hash) && sum_.add(0, 0, p.masked)) p.masked = {};
  }

  SystemRandom random_;
  SigningKey authority_;
  WorkerPool pool_;
  std::vector<PublicWork> works_;
  SecAggConfig config_;
  ClientPolicy policy_;
  std::vector<Person> people_;
  std::unique_ptr<SecAggServer> server_;
  MaskedSum sum_{{{"update", 32, kValues}}};
};

}  // namespace

std::vector<Figure> secagg_cohort() {
  const std::string timed = "cohort: 1,000 state machines x 100k, 10 % dropped";
  const std::string bytes = "cohort: control bytes per client, n = 1,000";
  std::unique_ptr<CohortRun> cohort;
  bool exact = false;
  const std::clock_t cpu = std::clock();
  const double seconds = seconds_of([&] {
    cohort = std::make_unique<CohortRun>();
    exact = cohort->run();
  });
  if (!exact)
    return {not_measured(timed, "s", Bound::kAtMost, 60, "the sum was not exact"), not_measured(bytes, "MB", Bound::kAtMost, 0.4, "the round failed")};
  return {at_most(timed, seconds, "s", 60, "2 threads, " + std::to_string((std::clock() - cpu) / CLOCKS_PER_SEC) + " s of processor time, " + cohort->graph() +
                      ", sum of 900 exact; public work shared per thread"),
          at_most(bytes, static_cast<double>(cohort->control_bytes()) / 1e6, "MB", 0.4, "the most of any member, both ways, " + cohort->graph())};
}

}  // namespace covey::bench
