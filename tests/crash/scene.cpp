#include "tests/crash/scene.h"

#include "client/mask_work.h"
#include "client/trainer.h"
#include "coordinator/work.h"
#include "core/protocol/limits.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

namespace covey::crash {
namespace {

constexpr std::uint64_t kSeed = 20260;
constexpr std::uint32_t kWide = 900;  // 900 x 900 weights: 13 chunks
constexpr std::uint32_t kSecureMin = 4;

// The chance that a process draws its keys from: another at each start, and the same in a run that is played again.
class SeededKeys final : public SecureRandom {
 public:
  explicit SeededKeys(Random random) : random_(random) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_.next() >> 32U);
  }

 private:
  Random random_;
};

void train_adapters(JobSpec& job) {
  job.model = {};
  job.model.family = ModelFamily::kTransformer;
  job.model.layers = 2;
  job.model.width = 16;
  job.model.heads = 2;
  job.model.context = 8;
  job.model.lora = {2, 4, 0, {"*q_proj"}};
  job.data = {};
  job.data.format = DataFormat::kText;
  job.train.local_epochs = 0;
  job.train.local_steps = 2;
  job.train.batch_size = 4;
}

// Training makes its kernels at first use, which would be once in every process that dies: made here,
// they are inherited.
Result<void> warm_up(const Scene& scene) {
  MemoryBlobs blobs;
  COVEY_TRY(const WorkValue model, coordinator_work(InitModel{scene.job}, blobs));
  RoundOffer offer;
  offer.key = {1, 1, 1};
  offer.model = std::get<ModelReady>(model).model;
  offer.progress_end = 1;
  COVEY_TRY_VOID(client_work(scene, 0, Train{scene.job, offer}, blobs, nullptr));
  return {};
}

}  // namespace

const char* name_of(JobKind kind) { return kind == JobKind::kSecure ? "secure" : "plain"; }

CoordinatorConfig Scene::coordinator_config(std::uint64_t seed, std::uint64_t start) const {
  CoordinatorConfig config;
  config.authority = sim_authority(kSeed).public_key();
  config.record_key = std::make_shared<const SigningKey>(sim_record_key(kSeed));
  config.operators.push_back(boss.certificate);
  for (const SimIdentity& client : clients) config.operators.push_back(client.certificate);
  config.random = std::make_shared<SeededKeys>(Random(seed).split("keys", 0, start));
  return config;
}

IssueCredentials Scene::credentials() const {
  IssueCredentials all;
  for (const SimIdentity& client : clients) all.credentials.push_back({client.key, client.credential});
  return all;
}

ClientConfig Scene::client_config(std::size_t client, std::uint64_t seed, std::uint64_t start) const {
  ClientConfig config;
  config.coordinator = {coordinator.key, 1};
  config.capability = population->capability(static_cast<std::uint32_t>(client));
  config.instance = start;
  config.certificate = clients.at(client).certificate;
  config.authority = sim_authority(kSeed).public_key();
  config.policy.plain_updates = !secure();
  config.signing = clients[client].signing;
  config.random = std::make_shared<SeededKeys>(Random(seed).split("keys", 1 + client, start));
  return config;
}

std::string Scene::name_of(const PeerKey& key) const {
  if (key == coordinator.key) return "coordinator";
  if (key == boss.key) return "operator";
  for (std::size_t i = 0; i < clients.size(); ++i)
    if (clients[i].key == key) return "client " + std::to_string(i);
  return "stranger " + short_hex(key);
}

Result<std::unique_ptr<Scene>> make_scene(ModelSize size, JobKind kind, std::uint32_t clients) {
  const std::string folder = std::string(COVEY_SOURCE_DIR) + "/examples/tiny";
  COVEY_TRY(const Bytes text, read_file(folder + "/job.toml", kJobTomlBytesMax));
  auto scene = std::make_unique<Scene>();
  COVEY_TRY(scene->job, parse_job(text_of(text)));
  JobSpec& job = scene->job;
  job.rounds = 3;
  job.privacy.secure_aggregation = kind == JobKind::kSecure;
  job.selection.min_clients = kind == JobKind::kSecure ? kSecureMin : 2;
  job.round.deadline = 20s;
  job.round.quorum = 0.5;
  if (size == ModelSize::kChunked) {
    job.rounds = 2;
    job.model.family = ModelFamily::kMlp;
    job.model.hidden = {kWide, kWide};
    job.train.local_epochs = 1;
    job.update.clip_norm = 0;  // scripted updates of a million elements are longer than the tiny job's
    job.train.batch_size = 64;
  }
  if (size == ModelSize::kAdapters) train_adapters(job);
  COVEY_TRY_VOID(job.validate());
  scene->toml = to_toml(job);
  COVEY_TRY(scene->population, Population::create({job, size == ModelSize::kAdapters ? COVEY_SOURCE_DIR "/README.md" : folder + "/points.csv", clients, kSeed}));
  scene->coordinator = sim_identity(kSeed, "coordinator", Role::kClient);
  scene->boss = sim_identity(kSeed, "operator", Role::kOperator);
  for (std::uint32_t i = 0; i < clients; ++i)
    scene->clients.push_back(sim_identity(kSeed, "client-" + std::to_string(i), Role::kClient));
  COVEY_TRY_VOID(warm_up(*scene));
  return scene;
}

Result<WorkValue> client_work(const Scene& scene, std::size_t client, const Work& work, BlobStore& blobs, const TellEncoded& tell) {
  const LocalData& local = scene.population->local(static_cast<std::uint32_t>(client));
  if (std::holds_alternative<PrepareData>(work)) {
    COVEY_TRY(DataPrepared prepared, prepare(local));
    return WorkValue(prepared);
  }
  if (const auto* mask = std::get_if<MaskUpdate>(&work)) {
    const MaskContext context{.blobs = blobs, .client = scene.clients[client].key};
    COVEY_TRY(auto vectors, encoded_vectors(*mask, context));
    tell({mask->offer.key, mask->members_max, std::move(vectors)});
    COVEY_TRY(const UpdateMasked masked, mask_update(*mask, context));
    return WorkValue(masked);
  }
  if (const auto* letter = std::get_if<PutBlob>(&work)) {
    COVEY_TRY(const BlobRef blob, blobs.put(letter->content));
    return WorkValue(BlobPut{blob});
  }
  const auto* training = std::get_if<Train>(&work);
  COVEY_CHECK(training != nullptr);
  COVEY_TRY(Trained trained, train(*training, {.blobs = blobs, .local = local, .client = scene.clients[client].key}));
  return WorkValue(std::move(trained));
}

}  // namespace covey::crash
