#include "sim/population.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "client/tokenizer_file.h"

namespace covey {
namespace {

// Lognormal speeds around a small machine's, as device traces show (FedScale).
Capability random_capability(Random random) {
  const double speed = std::exp(0.6 * random.normal());
  return {"simulated", 4, std::uint64_t{16} << 30U, 20.0 * speed};
}

Secret<32> secret_from(Random random) {
  Secret<32> secret;
  for (std::uint8_t& byte : secret.expose()) byte = static_cast<std::uint8_t>(random.next());
  return secret;
}

std::uint64_t label_number(const std::string& name) {
  std::uint64_t h = 1469598103934665603ULL;  // FNV-1a
  for (const char c : name) h = (h ^ static_cast<std::uint8_t>(c)) * 1099511628211ULL;
  return h;
}

}  // namespace

Result<std::unique_ptr<Population>> Population::create(const PopulationRequest& request) {
  COVEY_TRY(const auto tokenizer, pinned_tokenizer(request.job.data, request.tokenizer, request.data));
  COVEY_TRY(std::unique_ptr<Dataset> data, load_dataset({.path = request.data,
                                                         .data = request.job.data,
                                                         .model = request.job.model,
                                                         .grouping = request.job.simulation.partition,
                                                         .tokenizer = tokenizer.get()}));
  return create(std::shared_ptr<const Dataset>(std::move(data)), request);
}

Result<std::unique_ptr<Population>> Population::create(std::shared_ptr<const Dataset> data, const PopulationRequest& request) {
  if (request.clients > data->size())
    return unexpected(ErrorCode::kInvalidArgument, std::to_string(request.clients) + " clients, but " + request.data + " holds " +
                                                       std::to_string(data->size()) + " examples; use fewer clients or more data");
  const Random random(request.seed);
  COVEY_TRY(std::vector<Indices> parts,
            partition(*data, request.job.simulation.partition, request.clients, random.split("partition")));
  auto population = std::make_unique<Population>();
  population->data_ = data;
  for (std::uint32_t client = 0; client < request.clients; ++client) {
    const Random own = random.split("client", client);
    population->locals_.push_back({data, split_holdout(parts[client], request.job.data.holdout, own.split("holdout"))});
    population->capabilities_.push_back(random_capability(own.split("capability")));
  }
  return population;
}

Population::Spread Population::spread() const {
  Spread spread;
  spread.least = std::numeric_limits<std::uint64_t>::max();
  for (const LocalData& local : locals_) {
    const std::uint64_t train = local.split.train.size();
    spread.train += train;
    spread.holdout += local.split.holdout.size();
    spread.least = std::min(spread.least, train);
    spread.most = std::max(spread.most, train);
    spread.empty += train == 0 ? 1 : 0;
  }
  return spread;
}

// Beyond every simulated day, and within the ten years that a token may give on the first.
const Instant kSimMembersUntil = instant_of_nanos(1'700'000'000'000'000'000) + std::chrono::hours(24 * 3000);

SigningKey sim_authority(std::uint64_t seed) { return SigningKey::from_seed(secret_from(Random(seed).split("authority"))); }
SigningKey sim_record_key(std::uint64_t seed) { return SigningKey::from_seed(secret_from(Random(seed).split("record"))); }

SimIdentity sim_identity(std::uint64_t seed, const std::string& name, Role role, Instant expires) {
  const Random random = Random(seed).split("identity", label_number(name));
  const SigningKey authority = sim_authority(seed);
  const SigningKey one_time = SigningKey::from_seed(secret_from(random.split("one-time")));
  const CurveKey one_time_curve = CurveKey::from_secret(secret_from(random.split("one-time-curve")));
  SigningKey signing = SigningKey::from_seed(secret_from(random.split("signing")));
  const CurveKey curve = CurveKey::from_secret(secret_from(random.split("curve")));
  Delegation delegation{{}, role, expires, kSimMembersUntil, one_time_curve.public_key(), one_time.public_key(), {}};
  Random token = random.split("token");
  for (std::uint8_t& byte : delegation.token.bytes) byte = static_cast<std::uint8_t>(token.next());
  sign(delegation, authority);
  Certificate certificate{name, signing.public_key(), curve.public_key(), delegation, {}};
  sign(certificate, one_time);
  const MemberCredential credential = credential_for(certificate, authority);
  return {curve.public_key(), certificate, std::make_shared<const SigningKey>(std::move(signing)), credential};
}

}  // namespace covey
