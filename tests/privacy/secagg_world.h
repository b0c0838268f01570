// A whole secure aggregation in one process: real members, a real coordinator, their messages carried by
// hand. Tests drop members, lie and replay by what they carry; bench/ measures the same world.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "privacy/secagg_server.h"
#include "tests/privacy/test_bytes.h"

namespace covey {

struct WorldOptions {
  std::uint32_t members = 6;
  std::uint32_t corrupt_max = 1;
  std::uint32_t dropout_millionths = 300'000;
  std::uint32_t survivors_min = 4;
  std::vector<VectorSpec> vectors{{"update", 32, 37}, {"examples", 20, 1}};
  PublicWork::Memory memory = PublicWork::Memory::kRemember;
  std::uint64_t seed = 1;
};

enum class Stop { kJoin, kShare, kConfirm, kMask, kVote, kUnmask };  // where a member falls silent

class SecAggWorld {
 public:
  explicit SecAggWorld(const WorldOptions& options)
      : options_(options), bytes_(options.seed), authority_(SigningKey::generate(bytes_)), work_(options.memory) {
    config_.task.bytes[0] = 1;
    config_.round = 3;
    config_.stage = "update";
    config_.data_scope = "data";
    config_.model.bytes[0] = 2;
    config_.members_min = config_.members_max = options.members;
    config_.survivors_min = options.survivors_min;
    config_.corrupt_max = options.corrupt_max;
    config_.gamma_millionths = static_cast<std::uint32_t>(std::uint64_t{options.corrupt_max} * kMillionths / options.members);
    config_.dropout_millionths = options.dropout_millionths;
    config_.vectors = options.vectors;
    policy_.authority = authority_.public_key();
    policy_.corrupt_min = options.corrupt_max;
    for (std::uint32_t i = 0; i < options.members; ++i) people_.push_back(std::make_unique<Person>(*this, i));
    begin();
  }

  struct Person {
    Person(SecAggWorld& world, std::uint32_t number) : key(SigningKey::generate(world.bytes_)) {
      credential.subject.bytes = {static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
      credential.key = key.public_key();
      sign(credential, world.authority_);
    }
    SigningKey key;
    MemberCredential credential;
    AttemptBook book;
    std::unique_ptr<SecAggClient> client;
    std::vector<std::vector<std::int64_t>> input;  // by vector
    std::vector<Row> disk;                         // what was persisted
  };

  // A new attempt of the same people: fresh machines, the same books.
  void begin() {
    server_ = std::move(*SecAggServer::begin(config_, authority_.public_key(), work_, bytes_));
    sum_.emplace(config_.vectors);
    for (auto& person : people_) renew(*person);
    Random random(options_.seed);
    for (auto& person : people_) {
      person->input.clear();
      for (const VectorSpec& v : config_.vectors) {
        std::vector<std::int64_t> values(v.values);
        for (auto& value : values) value = static_cast<std::int64_t>(random.below(2001)) - 1000;
        person->input.push_back(std::move(values));
      }
    }
  }
  void renew(Person& person) {
    const SecAggMember member{person.key, person.credential, policy_, true};
    person.client.reset();  // closes the one before, which would close this one's data scope
    person.client = std::make_unique<SecAggClient>(member, terms(), person.book, work_, bytes_);
  }
  ClientTerms terms() const {
    return {config_.task, config_.round, config_.stage, config_.data_scope, config_.model, config_.training, config_.vectors};
  }

  // The machine's step, with its batch on the member's disk; masks if it is told to. What it sends.
  Result<std::vector<Bytes>> act(std::uint32_t who, ByteSpan message) {
    Person& person = *people_[who];
    COVEY_TRY(ClientStep step, person.client->handle(message, now_));
    keep(person, step.persist);
    if (!step.mask) return std::move(step.messages);
    MaskedHash hash(step.mask->sid);
    auto& masked = stored_[person.client->place()];
    masked.clear();
    for (std::size_t v = 0; v < step.mask->vectors.size(); ++v) {
      const VectorSpec& spec = step.mask->vectors[v];
      const Ring ring = *Ring::of_width(spec.width);
      masked.push_back(pack(person.input[v], ring));
      apply_masks({masked.back(), 0}, terms_of(*step.mask, v), ring, step.mask->cipher);
      hash.begin(v, spec).update(masked.back());
    }
    COVEY_TRY(ClientStep after, person.client->on_masked(hash.finish(), now_));
    keep(person, after.persist);
    return std::move(after.messages);
  }

  // Carries everything to everyone, in order, and what they answer to the coordinator.
  void carry(const std::vector<Outgoing>& out, const std::set<std::uint32_t>& silent = {}) {
    for (const Outgoing& o : out)
      for (const std::uint32_t to : o.to) {
        if (silent.contains(to) || silent_.contains(to)) continue;
        auto answers = act(to, o.message);
        if (!answers) {
          refusals_.push_back(answers.error());
          continue;
        }
        for (const Bytes& answer : *answers) deliver(answer);
      }
  }
  void deliver(const Bytes& answer) {
    auto more = server_->handle(answer);
    if (!more) server_refusals_.push_back(more.error());
    else carry(*more);
  }
  // The vectors of a member arrive at the coordinator, and are counted if they are what it signed.
  bool arrive(std::uint32_t who) {
    MaskedHash hash(sid_of(server_->config()));
    for (std::size_t v = 0; v < stored_[who].size(); ++v) hash.begin(v, config_.vectors[v]).update(stored_[who][v]);
    if (!server_->on_vectors(who, hash.finish())) return false;
    for (std::size_t v = 0; v < stored_[who].size(); ++v) COVEY_CHECK(sum_->add(v, 0, stored_[who][v]).has_value());
    stored_[who].clear();
    return true;
  }

  void join(const std::set<std::uint32_t>& silent = {}) {
    for (std::uint32_t i = 0; i < people_.size(); ++i) {
      if (silent.contains(i)) continue;
      const auto joins = act(i, server_->invitation());
      COVEY_CHECK(joins.has_value());
      for (const Bytes& join : *joins) deliver(join);
    }
  }
  // Runs the phases up to and including the one named; each set falls silent in its phase and for good.
  Result<void> run(const std::function<std::set<std::uint32_t>(Stop)>& dropping, Stop last = Stop::kUnmask) {
    silent_ = dropping(Stop::kJoin);
    join(silent_);
    const auto fall = [&](Stop stop) { silent_.merge(dropping(stop)); };
    COVEY_TRY(const auto rosters, server_->close_joins());
    fall(Stop::kShare);
    carry(rosters);
    if (last == Stop::kShare) return {};
    COVEY_TRY(const auto deliveries, server_->close_shares());
    fall(Stop::kConfirm);
    carry(deliveries);
    if (last == Stop::kConfirm) return {};
    COVEY_TRY(const auto orders, server_->close_confirmations());
    fall(Stop::kMask);
    carry(orders);
    for (std::uint32_t i = 0; i < people_.size(); ++i)
      if (server_->maskers().contains(i) && !silent_.contains(i)) (void)arrive(i);
    if (last == Stop::kMask) return {};
    COVEY_TRY(const auto survivors, server_->close_masks(reservation_));
    fall_at_unmask_ = dropping(Stop::kUnmask);
    fall(Stop::kVote);
    carry_votes(survivors);
    return {};
  }
  Result<void> run() {
    return run([](Stop) { return std::set<std::uint32_t>{}; });
  }
  // Votes make the certificate, which goes out from within carry(): who stops at R4 must be set aside.
  void carry_votes(const std::vector<Outgoing>& survivors) {
    std::vector<Bytes> votes;
    for (const Outgoing& o : survivors)
      for (const std::uint32_t to : o.to) {
        if (silent_.contains(to)) continue;
        auto answers = act(to, o.message);
        if (!answers) refusals_.push_back(answers.error());
        else for (Bytes& answer : *answers) votes.push_back(std::move(answer));
      }
    silent_.merge(std::set<std::uint32_t>(fall_at_unmask_));
    for (const Bytes& vote : votes) deliver(vote);
  }

  // The opened sum, against the plain sum of the survivors.
  Result<bool> sum_is_exact(WorkerPool& pool) {
    COVEY_TRY(const SumRecovery recovery, server_->close_unmasking());
    const Recovered recovered = recover(recovery, pool);
    blame_ = recovered.blame;
    disputed_ = recovered.disputed;
    liars_ = recovered.liars;
    doubted_ = recovered.doubted;
    if (!recovered.closed.empty()) return unexpected(ErrorCode::kInvalidMessage, recovered.closed);
    sum_->unmask(recovered.plan, pool);
    for (std::size_t v = 0; v < config_.vectors.size(); ++v) {
      std::vector<std::int64_t> expected(config_.vectors[v].values);
      for (std::uint32_t i = 0; i < people_.size(); ++i)
        if (server_->survivors().contains(i))
          for (std::size_t k = 0; k < expected.size(); ++k) expected[k] += person_at(i).input[v][k];
      if (sum_->values(v) != expected) return false;
    }
    return true;
  }
  // Subjects are numbered as they are created, so places follow among those who joined.
  Person& person_at(std::uint32_t place) {
    for (auto& person : people_)
      if (person->client->cohort() != nullptr && person->client->place() == place) return *person;
    return *people_[place];
  }
  void keep(Person& person, const Batch& batch) {
    for (const Put& put : batch.puts) {
      std::erase_if(person.disk, [&](const Row& row) { return row.key == put.key; });
      person.disk.push_back({put.key, put.value});
    }
  }

  WorldOptions options_;
  SeededBytes bytes_;
  SigningKey authority_;
  PublicWork work_;
  SecAggConfig config_;
  ClientPolicy policy_;
  Digest reservation_{};
  Instant now_{};
  std::vector<std::unique_ptr<Person>> people_;
  std::unique_ptr<SecAggServer> server_;
  std::optional<MaskedSum> sum_;
  std::map<std::uint32_t, std::vector<std::vector<std::uint64_t>>> stored_;
  std::set<std::uint32_t> silent_;
  std::set<std::uint32_t> fall_at_unmask_;
  std::vector<Error> refusals_;
  std::vector<Error> server_refusals_;
  std::vector<Blame> blame_;
  std::vector<Recovered::Disputed> disputed_;
  std::vector<Blame> liars_;
  std::vector<std::uint32_t> doubted_;
};

}  // namespace covey
