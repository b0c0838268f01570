// Real clients and the real coordinator's half of secure aggregation, carried by hand: every client has a
// disk and blobs that survive its process; what it says lies in `said` until the test carries it.
#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>

#include "client/mask_work.h"
#include "core/protocol/exchanged.h"
#include "core/store/blobs.h"
#include "privacy/ring_encoder.h"
#include "privacy/round_terms.h"
#include "privacy/secagg_server.h"
#include "tests/client/hand_driven.h"
#include "tests/privacy/test_bytes.h"

namespace covey {

inline const std::string kSecureJob = std::string(kJob.substr(0, kJob.rfind("false"))) + "true\n";

inline RoundOffer secure_offer(std::uint32_t round, std::uint32_t attempt = 1, RoundKind kind = RoundKind::kTrain) {
  RoundOffer offer = offer_of(round, attempt);
  offer.kind = kind;
  offer.config = blob_ref_of(config_bytes(kSecureJob));
  return offer;
}

// One client: its machine, its disk, and an executor that computes at once.
class SecureSite {
 public:
  SecureSite(std::uint32_t number, const SigningKey& authority, std::shared_ptr<SecureRandom> random,
             std::shared_ptr<PublicWork> work)
      : number_(number), key_(std::make_shared<const SigningKey>(SigningKey::generate(*random))) {
    Certificate certificate;
    certificate.name = "site-" + std::to_string(number);
    certificate.signing = key_->public_key();
    config.coordinator = kCoordinator;
    config.capability = {"cpu", 4, std::uint64_t{1} << 30, 10};
    config.instance = 42;
    config.certificate = certificate;
    config.authority = authority.public_key();
    config.signing = key_;
    config.random = std::move(random);
    config.public_work = std::move(work);
    credential = credential_for(certificate, authority);
    peer.bytes[0] = static_cast<std::uint8_t>(number + 1);
  }

  void start() {
    held_writes.clear();
    held_work.clear();
    said.clear();
    published.clear();
    auto made = Client::create(config, rows);
    REQUIRE(made.has_value());
    client_ = std::move(*made);
    run(Started{});
    hear(JoinAccepted{config.certificate->name});
    hear(CredentialIssued{credential});
  }
  void crash() { client_.reset(); }
  bool up() const { return client_ != nullptr; }
  void hear(Message message) { run(Received{kCoordinator, std::move(message)}); }
  void fire(const std::string& timer) { run(TimerFired{timer}); }
  void write_done() {
    const Ticket ticket = held_writes.front();
    held_writes.pop_front();
    run(Persisted{ticket});
  }
  void work_done() {
    const StartWork work = held_work.front();
    held_work.pop_front();
    run(compute(work));
  }

  template <class M>
  std::vector<M> all_said() const {
    std::vector<M> found;
    for (const Message& message : said)
      if (const auto* m = std::get_if<M>(&message)) found.push_back(*m);
    return found;
  }
  template <class M>  // of secure aggregation, in notes
  std::vector<M> all_noted() const {
    std::vector<M> found;
    for (const SecAggNote& note : all_said<SecAggNote>()) {
      const auto message = decode_secagg_message(note.content);
      REQUIRE(message.has_value());
      if (const auto* m = std::get_if<M>(&*message)) found.push_back(*m);
    }
    return found;
  }
  bool has_row(std::string_view table) const {
    return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.key.starts_with(table); });
  }
  bool logged(std::string_view event) const { return std::find(log.begin(), log.end(), event) != log.end(); }
  AttemptState state_of(const Digest& sid) const {
    for (const Row& row : rows)
      if (row.key == std::string(kAttemptPrefix) + hex(sid.span())) return decode_attempt_record(row.value)->state;
    FAIL("no record of this attempt");
    return {};
  }
  // What its training gives: the same in every process.
  std::vector<float> update() const {
    Random random(100 + number_);
    std::vector<float> x(parameter_table(parse_job(kSecureJob)->model).size);
    for (float& v : x) v = static_cast<float>(random.normal());
    x[3] = 5;  // beyond the range
    return x;
  }

  ClientConfig config;
  MemberCredential credential;
  PeerKey peer;
  std::vector<Row> rows;  // durable
  MemoryBlobs blobs;
  std::vector<Message> said;
  std::vector<std::string> log;
  std::set<Digest> published;
  std::optional<MaskUpdate> masked;    // the work, once it began
  bool hold_writes = false;            // applied to the disk, not confirmed yet
  bool hold_training = false;
  std::deque<Ticket> held_writes;
  std::deque<StartWork> held_work;
  std::map<Digest, Bytes> served;      // by the coordinator

 private:
  void run(Event event) {
    REQUIRE(client_ != nullptr);
    events_.push_back(std::move(event));
    while (!events_.empty()) {
      const Event next = std::move(events_.front());
      events_.pop_front();
      for (Command& command : client_->handle(next, now)) std::visit([&](auto& c) { on(c); }, command);
    }
  }
  void on(Send& send) { said.push_back(std::move(send.message)); }
  void on(Persist& persist) {
    for (const Put& put : persist.batch.puts) {
      std::erase_if(rows, [&](const Row& row) { return row.key == put.key; });
      rows.push_back({put.key, put.value});
    }
    for (const Delete& gone : persist.batch.deletes) std::erase_if(rows, [&](const Row& row) { return row.key == gone.key; });
    if (hold_writes) held_writes.push_back(persist.ticket);
    else events_.push_back(Persisted{persist.ticket});
  }
  void on(FetchBlob& fetch) {
    const auto found = served.find(fetch.blob.id);
    const Bytes value = found != served.end() ? found->second : Bytes(static_cast<std::size_t>(fetch.blob.size));
    events_.push_back(BlobFetched{fetch.ticket, fetch.blob, value.size() <= fetch.content_bytes_max ? value : Bytes{}});
  }
  void on(StartWork& start) {
    if (std::holds_alternative<Train>(start.work) && hold_training) held_work.push_back(start);
    else events_.push_back(compute(start));
  }
  void on(PublishBlob& publish) { published.insert(publish.blob); }
  void on(WithdrawBlob& gone) { published.erase(gone.blob); }
  void on(EraseBlob& gone) { CHECK(blobs.erase(gone.blob).has_value()); }
  void on(WriteLog& line) { log.push_back(line.entry.event); }
  template <class Other>
  void on(Other&) {}

  Event compute(const StartWork& start) {
    if (std::holds_alternative<PrepareData>(start.work)) return WorkDone{start.ticket, DataPrepared{12, 4}};
    if (const auto* put = std::get_if<PutBlob>(&start.work)) return WorkDone{start.ticket, BlobPut{*blobs.put(put->content)}};
    if (const auto* train = std::get_if<Train>(&start.work)) {
      Trained trained{std::nullopt, 12 + number_, {6.5, 12, 3, 1.5}, {4.25, 4, 2}};
      if (train->offer.kind == RoundKind::kTrain) trained.update = *blobs.put(bytes_of_floats(update()));
      else trained.train = {};
      return WorkDone{start.ticket, trained};
    }
    masked = std::get<MaskUpdate>(start.work);
    const auto result = mask_update(*masked, {.blobs = blobs, .client = peer});
    if (!result) return WorkFailed{start.ticket, result.error()};
    return WorkDone{start.ticket, *result};
  }

  std::uint32_t number_;
  std::shared_ptr<const SigningKey> key_;
  std::unique_ptr<Client> client_;
  std::deque<Event> events_;

 public:
  Instant now = Instant(std::chrono::hours(24 * 20'000));
};

struct CohortOptions {
  std::uint32_t sites = 5;
  std::function<void(SecAggConfig&)> change = {};
};

class SecureCohort {
 public:
  explicit SecureCohort(CohortOptions options = {}) : options_(std::move(options)), authority(SigningKey::generate(*random)) {
    for (std::uint32_t i = 0; i < options_.sites; ++i) {
      sites.push_back(std::make_unique<SecureSite>(i, authority, random, shared_work));
      const Bytes config = config_bytes(kSecureJob);
      sites.back()->served[blob_ref_of(config).id] = config;
      for (std::uint8_t version = 0; version < 3; ++version) {
        const Bytes manifest = encode(manifest_of(version));
        sites.back()->served[blob_ref_of(manifest).id] = manifest;
      }
      sites.back()->start();
    }
    begin(secure_offer(1));
  }

  // A new attempt at the coordinator. The offers are not sent yet.
  void begin(const RoundOffer& round) {
    offer = round;
    const JobSpec job = *parse_job(text_of(config_bytes(kSecureJob)));
    SecAggConfig config;
    const ClientTerms terms = terms_of(secure_round(offer), *secure_vectors(job, offer.kind, exchanged_size(job), options_.sites));
    config.task = terms.task, config.round = terms.round, config.stage = terms.stage;
    config.attempt = offer.key.attempt;
    config.data_scope = terms.data_scope, config.model = terms.model, config.training = terms.training;
    config.vectors = terms.vectors;
    config.members_max = options_.sites;
    config.members_min = config.survivors_min = 4;
    config.corrupt_max = 1;
    config.gamma_millionths = config.dropout_millionths = 100'000;
    config.credential_epoch = kCredentialEpochFirst;
    if (options_.change) options_.change(config);
    auto made = SecAggServer::begin(config, authority.public_key(), work, bytes);
    REQUIRE(made.has_value());
    server = std::move(*made);
    vectors.clear();
  }

  SecureSite& at(std::uint32_t i) { return *sites[i]; }
  std::uint32_t place_of(std::uint32_t site) const {
    const auto& entries = server->cohort()->entries();
    for (std::uint32_t place = 0; place < entries.size(); ++place)
      if (entries[place].credential == sites[site]->credential) return place;
    FAIL("this site is not in the roster");
    return 0;
  }
  std::uint32_t site_at(std::uint32_t place) const {
    for (std::uint32_t i = 0; i < sites.size(); ++i)
      if (sites[i]->credential == server->cohort()->entries()[place].credential) return i;
    FAIL("no site is at this place");
    return 0;
  }
  void note(std::uint32_t site, const Bytes& content) {
    if (at(site).up() && !silent.contains(site)) at(site).hear(SecAggNote{offer.key, content});
  }
  void send(const Result<std::vector<Outgoing>>& out) {
    REQUIRE(out.has_value());
    for (const Outgoing& o : *out)
      for (const std::uint32_t to : o.to) note(site_at(to), o.message);
  }
  // Takes what the sites have said, until they say nothing more.
  void carry() {
    for (bool more = true; more;) {
      more = false;
      for (std::uint32_t i = 0; i < sites.size(); ++i)
        for (const Message& message : std::exchange(at(i).said, {})) {
          more = true;
          if (silent.contains(i)) continue;
          if (std::holds_alternative<RoundAccept>(message)) note(i, server->invitation());
          if (const auto* said = std::get_if<SecAggNote>(&message)) tell_server(said->content);
          if (const auto* ready = std::get_if<MaskedReady>(&message)) arrive(i, *ready);
          if (const auto* no = std::get_if<RoundDecline>(&message)) declined[i] = *no;
        }
    }
  }
  void tell_server(const Bytes& content) {
    auto more = server->handle(content);
    if (!more) server_refusals.push_back(more.error().message);
    else send(more);
  }
  void arrive(std::uint32_t site, const MaskedReady& ready) {
    CHECK(at(site).published.contains(ready.vectors.id));
    const Bytes blob = *at(site).blobs.get(ready.vectors.id);
    CHECK(blob.size() == masked_bytes(server->config().vectors));
    MaskedHash hash(sid_of(server->config()));
    std::vector<std::vector<std::uint64_t>> words;
    std::size_t from = 0;
    for (std::size_t v = 0; v < server->config().vectors.size(); ++v) {
      const VectorSpec& spec = server->config().vectors[v];
      words.emplace_back(Ring::of_width(spec.width)->words(spec.values));
      std::memcpy(words.back().data(), blob.data() + from, words.back().size() * 8);
      from += words.back().size() * 8;
      hash.begin(v, spec).update(words.back());
    }
    tell_server(ready.note);
    if (!server->on_vectors(place_of(site), hash.finish())) return;
    vectors[place_of(site)] = words;
    at(site).hear(UpdateAccepted{ready.key});
  }

  void offer_all() {
    for (std::uint32_t i = 0; i < sites.size(); ++i)
      if (at(i).up() && !silent.contains(i)) at(i).hear(offer);
    carry();
  }
  // Phase by phase; each ends with everything carried.
  void share() { send(server->close_joins()), carry(); }
  void confirm() { send(server->close_shares()), carry(); }
  void mask() { send(server->close_confirmations()), carry(); }
  void agree() { send(server->close_masks(Digest{{77}})), carry(); }
  void until_masked() { offer_all(), share(), confirm(), mask(); }
  void whole_round() { until_masked(), agree(); }

  // The opened sum is bit for bit the plain sum of what the survivors encoded.
  void check_exact() {
    const auto recovery = server->close_unmasking();
    REQUIRE(recovery.has_value());
    WorkerPool pool(1);
    const auto recovered = recover(*recovery, pool);
    REQUIRE(recovered.closed == "");
    CHECK(recovered.doubted.empty());
    const auto& specs = server->config().vectors;
    MaskedSum sum(specs);
    std::vector<std::vector<std::uint64_t>> plain;
    for (const VectorSpec& spec : specs) plain.emplace_back(Ring::of_width(spec.width)->words(spec.values));
    for (std::uint32_t i = 0; i < sites.size(); ++i) {
      if (!joined_roster(i) || !server->survivors().contains(place_of(i))) continue;
      MaskUpdate mine = *at(i).masked;
      MemoryBlobs again;  // the plain update is gone there
      if (mine.trained.update) mine.trained.update = *again.put(bytes_of_floats(at(i).update()));
      const auto own = encoded_vectors(mine, {.blobs = again, .client = at(i).peer});
      REQUIRE(own.has_value());
      for (std::size_t v = 0; v < specs.size(); ++v) {
        CHECK(sum.add(v, 0, vectors.at(place_of(i))[v]).has_value());
        combine(plain[v], (*own)[v], Sign::kPlus, *Ring::of_width(specs[v].width));
      }
    }
    sum.unmask(recovered.plan, pool);
    for (std::size_t v = 0; v < specs.size(); ++v)
      CHECK(std::vector<std::uint64_t>(sum.words(v).begin(), sum.words(v).end()) == plain[v]);
  }
  bool joined_roster(std::uint32_t site) const {
    for (const RosterEntry& entry : server->cohort()->entries())
      if (entry.credential == sites[site]->credential) return true;
    return false;
  }

  CohortOptions options_;
  std::shared_ptr<SeededBytes> random = std::make_shared<SeededBytes>(1);
  SeededBytes& bytes = *random;
  SigningKey authority;
  std::shared_ptr<PublicWork> shared_work = std::make_shared<PublicWork>(PublicWork::Memory::kRemember);
  PublicWork& work = *shared_work;
  std::vector<std::unique_ptr<SecureSite>> sites;
  RoundOffer offer;
  std::unique_ptr<SecAggServer> server;
  std::map<std::uint32_t, std::vector<std::vector<std::uint64_t>>> vectors;  // by place
  std::set<std::uint32_t> silent;
  std::map<std::uint32_t, RoundDecline> declined;
  std::vector<std::string> server_refusals;
};

}  // namespace covey
