// Coordinators that lie to a whole simulated federation. Whatever they say, the unmasking shares of no honest
// client leave, or only those of one agreed outcome; the checkers watch every world.
#include "core/crypto/agreement_key.h"
#include "privacy/secagg_cohort.h"
#include "sim/checker.h"
#include "tests/sim/secure_job.h"

using namespace covey;

namespace {

class Chance final : public SecureRandom {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_.next() >> 32U);
  }

 private:
  Random random_{99};
};

// The honest coordinator underneath; its messages to half of the clients are changed on their way out.
class LyingCoordinator final : public Machine {
 public:
  using Lie = std::function<std::vector<Bytes>(const Bytes& honest, bool victim)>;  // what is sent instead
  LyingCoordinator(std::unique_ptr<Machine> inner, Lie lie) : inner_(std::move(inner)), lie_(std::move(lie)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands said;
    for (Command& command : inner_->handle(event, now)) {
      auto* send = std::get_if<Send>(&command);
      auto* note = send == nullptr ? nullptr : std::get_if<SecAggNote>(&send->message);
      if (note == nullptr) {
        said.push_back(std::move(command));
        continue;
      }
      const bool victim = send->to.peer.bytes[0] % 2 == 0 ? true : send->to.peer.bytes[1] % 2 == 0;
      for (Bytes& content : lie_(note->content, victim)) said.push_back(Send{send->to, SecAggNote{note->key, std::move(content)}});
    }
    return said;
  }

 private:
  std::unique_ptr<Machine> inner_;
  Lie lie_;
};

template <class M>
LyingCoordinator::Lie changing(std::function<void(M&)> change) {
  return [change](const Bytes& honest, bool victim) -> std::vector<Bytes> {
    SecAggMessage message = *decode_secagg_message(honest);
    auto* m = std::get_if<M>(&message);
    if (m == nullptr || !victim) return {honest};
    change(*m);
    return {encode(message)};
  };
}

struct Outcome {
  std::size_t revealed = 0;  // clients' shares that left
  std::size_t opened = 0;
  std::string finding;
};
Outcome under(const LyingCoordinator::Lie& lie) {
  SimulationRequest request;
  request.job = secure_job();
  request.job.rounds = 1;
  request.job.round.attempts_max = 1;  // the next one leaves those out that were lied to
  request.horizon = 30min;
  request.decorate = [&lie](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
    if (node != 0) return machine;
    return std::make_unique<LyingCoordinator>(std::move(machine), lie);
  };
  Outcome outcome;
  request.on_checked = [&](const Checker& checker) {
    outcome.revealed = checker.secure().revealed();
    outcome.opened = checker.secure().opened();
  };
  const auto population = tiny_population(request.job, 10, 1);
  const auto result = simulate(request, *population);
  outcome.finding = result ? "" : result.error().message;
  return outcome;
}
// No promise was broken; the job may well have come to nothing.
bool only_refused_service(const Outcome& outcome) {
  return outcome.finding.empty() || outcome.finding.find("ended failed") != std::string::npos ||
         outcome.finding.find("did not end within") != std::string::npos;
}

}  // namespace

TEST_CASE("lying coordinator: split rosters") {
  const Outcome outcome = under(changing<RosterMessage>([](RosterMessage& m) { m.entries.pop_back(); }));
  CHECK(outcome.revealed == 0);
  CHECK(only_refused_service(outcome));
}

TEST_CASE("lying coordinator: sybils among the members") {
  const SigningKey pretender = SigningKey::from_seed(Secret<32>());
  const Outcome outcome = under(changing<RosterMessage>([&](RosterMessage& m) {
    for (std::size_t i = 0; i < m.entries.size(); i += 2) {
      m.entries[i].credential.key = pretender.public_key();
      sign(m.entries[i].credential, pretender);
    }
  }));
  CHECK(outcome.revealed == 0);
  CHECK(only_refused_service(outcome));
}

TEST_CASE("lying coordinator: edges stripped") {
  const Outcome outcome = under(changing<DeliveryMessage>([](DeliveryMessage& m) { m.shares.resize(m.shares.size() / 2); }));
  CHECK(outcome.revealed == 0);
  CHECK(only_refused_service(outcome));
}

TEST_CASE("lying coordinator: split sets of maskers") {
  const Outcome outcome = under(changing<MaskOrderMessage>([](MaskOrderMessage& m) { m.maskers.remove(0); }));
  CHECK(outcome.revealed == 0);
  // Its honest half refuses the vectors of those that it lied to itself.
  CHECK((only_refused_service(outcome) || outcome.finding.find("masked for other members") != std::string::npos));
}

TEST_CASE("lying coordinator: split sets of survivors") {
  const Outcome outcome = under(changing<SurvivorsMessage>([](SurvivorsMessage& m) {
    m.survivors.remove(0);
    std::erase_if(m.neighbours, [](const NeighbourMasked& n) { return n.member == 0; });
  }));
  CHECK(outcome.revealed == 0);
  CHECK(only_refused_service(outcome));
}

TEST_CASE("lying coordinator: certificates with too few or doubled signatures") {
  for (const bool doubled : {false, true}) {
    const Outcome outcome = under([doubled](const Bytes& honest, bool) -> std::vector<Bytes> {
      SecAggMessage message = *decode_secagg_message(honest);
      auto* m = std::get_if<OutcomeMessage>(&message);
      if (m == nullptr) return {honest};
      m->signatures.resize(m->signatures.size() / 2);
      if (doubled) {
        const auto more = m->signatures;
        m->signatures.insert(m->signatures.end(), more.begin(), more.end());
      }
      return {encode(message)};
    });
    CHECK(outcome.revealed == 0);
    CHECK(only_refused_service(outcome));
  }
}

TEST_CASE("lying coordinator: both shares asked for, by a second list of survivors and by an ABORT") {
  const auto survivors = std::make_shared<std::optional<SurvivorsMessage>>();
  const Outcome outcome = under([survivors](const Bytes& honest, bool) -> std::vector<Bytes> {
    SecAggMessage message = *decode_secagg_message(honest);
    if (const auto* m = std::get_if<SurvivorsMessage>(&message)) *survivors = *m;
    std::vector<Bytes> told{honest};
    if (const auto* m = std::get_if<OutcomeMessage>(&message); m != nullptr && *survivors) {
      SurvivorsMessage other = **survivors;
      other.survivors.remove(0);
      std::erase_if(other.neighbours, [](const NeighbourMasked& n) { return n.member == 0; });
      told.push_back(encode(SecAggMessage(other)));
      told.push_back(honest);
      told.push_back(encode(SecAggMessage(AbortRequestMessage{m->id})));
      told.push_back(honest);
    }
    return told;
  });
  CHECK(outcome.finding == "");
  CHECK(outcome.opened == 2);
  // Each client once a round, but for those that were asked for an ABORT before they saw the certificate.
  CHECK(outcome.revealed <= 20);
  CHECK(outcome.revealed >= 14);
}

TEST_CASE("lying coordinator: everything said before is replayed with every message") {
  const auto before = std::make_shared<std::vector<Bytes>>();
  const Outcome outcome = under([before](const Bytes& honest, bool) {
    std::vector<Bytes> told = *before;
    told.push_back(honest);
    before->push_back(honest);
    if (before->size() > 24) before->erase(before->begin());
    return told;
  });
  CHECK(only_refused_service(outcome));
  CHECK(outcome.revealed <= 10 * outcome.opened + 10);
}

// ---- lists of withdrawn credentials, which the coordinator brings and the authority signs

namespace {

constexpr std::uint64_t kSeed = 1;

Withdrawals list_of(std::uint32_t number, std::vector<VerifyKey> keys, const SigningKey& by) {
  Withdrawals list{number, kCredentialEpochFirst, std::move(keys), {}};
  list.signature = by.sign(kWithdrawalsDomain, signed_bytes(list));
  return list;
}

// Brings each of these clients a list of its own before the first thing that it says to it.
class Bringing final : public Machine {
 public:
  using Lists = std::map<PeerKey, std::vector<Withdrawals>>;
  Bringing(std::unique_ptr<Machine> inner, Lists lists) : inner_(std::move(inner)), lists_(std::move(lists)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands said;
    for (Command& command : inner_->handle(event, now)) {
      const auto* send = std::get_if<Send>(&command);
      const bool offer = send != nullptr && std::holds_alternative<RoundOffer>(send->message);
      if (offer)
        for (const Withdrawals& list : lists_[send->to.peer]) said.push_back(Send{send->to, CredentialsWithdrawn{list}});
      said.push_back(std::move(command));
    }
    return said;
  }

 private:
  std::unique_ptr<Machine> inner_;
  Lists lists_;
};

PeerKey client_key(std::size_t client) { return sim_identity(kSeed, "client-" + std::to_string(client), Role::kClient).key; }
VerifyKey signing_of(std::size_t client) { return sim_identity(kSeed, "client-" + std::to_string(client), Role::kClient).signing->public_key(); }

struct Brought {
  Outcome outcome;
  std::vector<std::uint32_t> delivered;
};
// What comes of two rounds in which `first` to the last of ten clients are brought these lists.
Brought brought(std::size_t first, const std::vector<Withdrawals>& lists) {
  SimulationRequest request;
  request.seed = kSeed;
  request.job = secure_job();
  request.job.rounds = 2;
  request.job.round.attempts_max = 4;
  request.horizon = 1h;
  Bringing::Lists to;
  for (std::size_t client = first; client < 10; ++client) to[client_key(client)] = lists;
  request.decorate = [&](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
    if (node != 0) return machine;
    return std::make_unique<Bringing>(std::move(machine), to);
  };
  Brought result;
  request.on_checked = [&](const Checker& checker) {
    result.outcome.revealed = checker.secure().revealed();
    result.outcome.opened = checker.secure().opened();
  };
  const auto population = tiny_population(request.job, 10, 1);
  const auto run = simulate(request, *population);
  result.outcome.finding = run ? "" : run.error().message;
  if (run)
    for (const RoundMetrics& metrics : run->detail.metrics) result.delivered.push_back(metrics.delivered);
  return result;
}

}  // namespace

TEST_CASE("lying coordinator: members that know different lists of withdrawn credentials are in no sum together") {
  const Withdrawals list = list_of(1, {SigningKey::from_seed(Secret<32>()).public_key()}, sim_authority(kSeed));
  const Brought half = brought(5, {list});
  CHECK(half.outcome.finding == "");
  CHECK(half.delivered == std::vector<std::uint32_t>{5, 5, 5});
  CHECK(half.outcome.revealed == 5 * half.outcome.opened);
  // Fewer than a round needs are left without it: nothing leaves anyone.
  const Brought most = brought(3, {list});
  CHECK(most.outcome.revealed == 0);
  CHECK(only_refused_service(most.outcome));
}

TEST_CASE("lying coordinator: lists that the authority did not sign, or that came before a newer one, change nothing") {
  const SigningKey pretender = SigningKey::from_seed(Secret<32>());
  const Brought forged = brought(0, {list_of(1, {signing_of(0)}, pretender)});
  CHECK(forged.outcome.finding == "");
  CHECK(forged.delivered == std::vector<std::uint32_t>{10, 10, 10});
  // Once a newer list was seen, the older one does not bring its members back.
  const Withdrawals older = list_of(1, {}, sim_authority(kSeed)), newer = list_of(2, {signing_of(0)}, sim_authority(kSeed));
  const Brought back = brought(5, {newer, older});
  CHECK(back.outcome.finding == "");
  CHECK(back.delivered == std::vector<std::uint32_t>{5, 5, 5});
}
