#include "tests/crash/stage.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "client/client.h"
#include "coordinator/work.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"
#include "core/store/store.h"
#include "net/codec.h"
#include "sim/operator_node.h"
#include "sim/stalemate.h"

namespace covey::crash {
namespace {

constexpr std::size_t kCoordinator = 0;
constexpr std::size_t kOperator = 1;
constexpr std::size_t kFirstClient = 2;
constexpr Duration kHorizon = 900s;       // of virtual time, for the whole job
constexpr std::size_t kStepsMax = 100'000;

struct Node {
  PeerKey key;
  std::unique_ptr<Site> site;             // null: down
  std::uint64_t starts = 0;               // the number of its live connections, too
  std::optional<Instant> start_at;
  std::shared_ptr<Store> store;           // shared, both, with its site: a node of this process outlives its crashes
  std::shared_ptr<BlobStore> blobs;
  std::vector<Instant> dies_at;           // of a node of this process, the soonest last
};

struct Letter {
  Instant at;
  std::uint64_t sequence = 0;
  std::size_t from = 0, to = 0;
  std::uint64_t from_start = 0, to_start = 0;  // a connection ends with either process
  Message message;
  bool replayed = false;
  bool operator>(const Letter& other) const { return std::tie(at, sequence) > std::tie(other.at, other.sequence); }
};

class Stage {
 public:
  Stage(const Scene& scene, const FaultTable& faults, const Plan& plan, std::string folder)
      : scene_(scene), faults_(faults), plan_(plan), folder_(std::move(folder)), random_(Random(plan.seed).split("stage")), oracle_(scene) {
    nodes_.resize(kFirstClient + scene.clients.size());
    nodes_[kCoordinator].key = scene.coordinator.key;
    nodes_[kOperator].key = scene.boss.key;
    for (std::size_t i = 0; i < scene.clients.size(); ++i) nodes_[kFirstClient + i].key = scene.clients[i].key;
    killed_ = plan.victim == Victim::kCoordinator ? kCoordinator : kFirstClient;
    if (plan.victim == Victim::kClient) oracle_.watch_client(nodes_[killed_].key);
    for (Node& node : nodes_) {
      node.start_at = now_;
      node.store = std::make_shared<MemoryStore>();
      node.blobs = std::make_shared<MemoryBlobs>();
    }
    if (scene.secure()) draw_deaths();
  }

  Outcome play() {
    std::size_t steps = 0;
    while (oracle_.findings().empty() && !ended_) {
      if (++steps > kStepsMax || now_ - begin_ > kHorizon) {
        oracle_.find("the job did not end within " + std::to_string(static_cast<int>(seconds(kHorizon))) + " virtual seconds");
        break;
      }
      step();
      for (std::size_t i = 0; i < nodes_.size(); ++i) collect(i);
    }
    if (oracle_.findings().empty()) finish();
    outcome_.findings = oracle_.findings();
    outcome_.tally = oracle_.tally();
    outcome_.virtual_seconds = seconds(now_ - begin_);
    return std::move(outcome_);
  }

 private:
  // ---- nodes

  std::unique_ptr<Site> make_site(std::size_t index) {
    if (index == killed_) return make_process(outcome_.kills);
    Node& node = nodes_[index];
    if (index == kCoordinator) {
      auto machine = Coordinator::create(scene_.coordinator_config(plan_.seed, node.starts), {});
      COVEY_CHECK(machine.has_value());
      return local_site({std::move(*machine), node.store, node.blobs,
                         [](const Work& work, BlobStore& files) { return coordinator_work(work, files); }});
    }
    const auto nothing = [](const Work&, BlobStore&) -> Result<WorkValue> { return unexpected(ErrorCode::kInternal, "it computes nothing"); };
    if (index == kOperator) {
      const auto job = node.blobs->put(bytes_of(scene_.toml));
      COVEY_CHECK(job.has_value());
      std::vector<OperatorNode::Order> orders;
      if (scene_.secure()) orders.push_back({Duration{}, scene_.credentials()});
      return local_site({std::make_unique<OperatorNode>(scene_.coordinator.key, std::vector<BlobRef>{*job}, std::move(orders), view_),
                         node.store, node.blobs, nothing});
    }
    if (scene_.secure()) return make_member(index);
    const std::uint64_t seed = Random(plan_.seed).split("client", index).next();
    auto machine = std::make_unique<ScriptedClient>(scene_.coordinator.key, seed, plan_.manners, exchanged_size(scene_.job), *node.blobs);
    return local_site({std::move(machine), node.store, node.blobs, nothing});
  }

  // A real client in this process: what a script would say of keys and shares would not verify.
  std::unique_ptr<Site> make_member(std::size_t index) {
    Node& node = nodes_[index];
    const std::size_t client = index - kFirstClient;
    const auto rows = node.store->scan("");
    auto machine = Client::create(scene_.client_config(client, plan_.seed, node.starts), *rows);
    COVEY_CHECK(machine.has_value());
    return local_site({std::move(*machine), node.store, node.blobs, [this, client, key = node.key](const Work& work, BlobStore& blobs) {
                         return client_work(scene_, client, work, blobs, [&](Encoded encoded) { oracle_.on_encoded(key, std::move(encoded)); });
                       }});
  }

  // In some runs one or two of the members around the victim lose their keys on the way, so that attempts end in
  // an ABORT too.
  void draw_deaths() {
    Random random = Random(plan_.seed).split("deaths");
    if (random.below(2) == 0) return;
    for (std::uint64_t left = 1 + random.below(2); left > 0; --left) {
      const std::size_t index = kFirstClient + 1 + random.below(scene_.clients.size() - 1);
      nodes_[index].dies_at.push_back(now_ + from_seconds(25 * random.uniform()));
    }
    for (Node& node : nodes_) std::sort(node.dies_at.begin(), node.dies_at.end(), std::greater<>());
  }

  void let_die(Node& node) {
    node.dies_at.pop_back();
    if (!node.site) return;
    node.site.reset();
    node.start_at = now_ + from_seconds(0.1 + 5 * random_.uniform());
  }

  std::unique_ptr<Site> make_process(std::size_t life) {
    ProcessParts parts;
    parts.scene = &scene_;
    if (killed_ != kCoordinator) parts.client = killed_ - kFirstClient;
    parts.seed = plan_.seed;
    parts.start = nodes_[killed_].starts;
    parts.folder = folder_;
    parts.mutant = plan_.mutant;
    parts.faults = &faults_;
    if (life < plan_.kills.size()) {
      parts.point = plan_.kills[life].point;
      parts.nth = plan_.kills[life].nth;
    }
    return process_site(parts);
  }

  void start(std::size_t index) {
    Node& node = nodes_[index];
    node.start_at.reset();
    ++node.starts;
    node.site = make_site(index);
    node.site->start(now_);
    // As transports greet: a new connection is one whatever side began it.
    for (std::size_t client = kFirstClient; client < nodes_.size(); ++client)
      if (index == client || (index == kCoordinator && nodes_[client].site)) post(client, {{scene_.coordinator.key, 0}, BulkHello{}});
  }

  // What the node has shown since, in order; and whether it is still there.
  void collect(std::size_t index) {
    Node& node = nodes_[index];
    if (!node.site) return;
    const bool alive = node.site->settle();
    if (const auto boot = node.site->take_boot())
      index == kCoordinator ? oracle_.on_boot(*boot) : oracle_.on_client_boot(node.key, *boot);
    for (Encoded& encoded : node.site->take_encoded()) oracle_.on_encoded(node.key, std::move(encoded));
    std::vector<Emission> emissions = node.site->take();
    for (const Emission& emission : emissions) show(index, emission);
    // What a dying process wrote last may be lost on the way: a connection delivers a prefix.
    const std::size_t arrive = alive ? emissions.size() : random_.below(emissions.size() + 1);
    for (std::size_t i = 0; i < arrive; ++i) post(index, emissions[i]);
    if (node.site->halted() && index == kOperator) ended_ = true;
    if (!alive) bury(index);
  }

  void bury(std::size_t index) {
    Node& node = nodes_[index];
    if (const auto defect = node.site->defect()) return oracle_.find(scene_.name_of(node.key) + ": " + *defect);
    ++outcome_.kills;
    node.site.reset();
    const bool long_gone = random_.below(8) == 0;  // longer than a link may be silent
    node.start_at = now_ + (long_gone ? Duration(25s) : Duration(100ms) + from_seconds(3 * random_.uniform()));
  }

  void show(std::size_t index, const Emission& emission) {
    if (index == kCoordinator) return oracle_.on_coordinator(emission.to.peer, emission.message);
    if (index >= kFirstClient) oracle_.on_client(nodes_[index].key, emission.message);
  }

  // ---- network

  std::size_t index_of(const PeerKey& key) const {
    const auto at = std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& node) { return node.key == key; });
    COVEY_CHECK(at != nodes_.end());
    return static_cast<std::size_t>(at - nodes_.begin());
  }

  void post(std::size_t from, const Emission& emission) {
    const std::size_t to = index_of(emission.to.peer);
    // A link of an earlier process leads nowhere.
    if (from == kCoordinator && emission.to.session != 0 && emission.to.session != nodes_[to].starts) return;
    const bool held_up = random_.below(25) == 0;
    Duration delay = Duration(1ms) * (1 + random_.below(3));
    if (held_up) delay += from_seconds(2 * random_.uniform());
    Instant& free = link_free_[{from, to}];
    free = std::max(free, now_ + delay);  // a connection keeps its order
    Letter letter{free, 0, from, to, nodes_[from].starts, nodes_[to].starts, emission.message};
    const bool greets = std::holds_alternative<BulkHello>(emission.message);  // the transport's own, not the client's
    const bool doubled = from >= kFirstClient && random_.below(10) == 0 && !greets;
    if (doubled) push(letter);
    if (plan_.replays > 0 && from >= kFirstClient && !is_bulk(emission.message)) replay(letter);
    push(std::move(letter));
  }

  void push(Letter letter) {
    letter.sequence = ++sequence_;
    letters_.push_back(std::move(letter));
    std::push_heap(letters_.begin(), letters_.end(), std::greater<>());
  }

  // The same bytes again on the same connection, on another one, and in a later round.
  void replay(const Letter& letter) {
    // Each message once: what replays provoke the clients to say is mostly what they said before.
    if (!replayed_frames_.insert({letter.from, blob_ref_of(encode_frame(letter.message)).id}).second) return;
    Letter again = letter;
    again.replayed = true;
    for (std::uint32_t i = 0; i < plan_.replays; ++i) {
      again.from_start = letter.from_start;
      again.at = letter.at + Duration(1ms) * (i % 7);
      push(again);
      again.from_start = letter.from_start + 1000 + i;  // a connection that the coordinator never joined
      push(again);
    }
    recorded_.push_back(letter);
  }

  void replay_recorded() {
    const std::uint32_t round = view_.detail ? view_.detail->summary.round : 0;
    if (plan_.replays == 0 || round <= replayed_round_) return;
    replayed_round_ = round;
    for (Letter letter : std::exchange(recorded_, {})) {
      letter.replayed = true;
      letter.at = now_ + 1ms;
      for (std::uint32_t i = 0; i < plan_.replays; ++i) push(letter);
    }
  }

  void deliver(Letter letter) {
    Node& to = nodes_[letter.to];
    const Node& from = nodes_[letter.from];
    const bool strange = letter.from_start >= 1000;
    if (!to.site || letter.to_start != to.starts || (!strange && letter.from_start != from.starts)) return;
    if (letter.replayed) ++outcome_.replayed;
    if (letter.from == kCoordinator && letter.to >= kFirstClient) oracle_.told_client(to.key, letter.message);
    // A client knows its coordinator as connection 1, whatever happens behind it.
    to.site->deliver({from.key, letter.to == kCoordinator ? letter.from_start : 1}, letter.message, now_);
  }

  // ---- time

  void step() {
    replay_recorded();
    std::optional<Instant> next;
    const auto sooner = [&](std::optional<Instant> at) {
      if (at && (!next || *at < *next)) next = at;
    };
    if (!letters_.empty()) sooner(letters_.front().at);
    for (const Node& node : nodes_) {
      sooner(node.start_at);
      if (!node.dies_at.empty()) sooner(node.dies_at.back());
      if (node.site) sooner(node.site->next_due());
    }
    if (!next) return oracle_.find("nothing is left to happen, but the job has not ended");
    now_ = std::max(now_, *next);
    for (Node& node : nodes_)
      while (!node.dies_at.empty() && node.dies_at.back() <= now_) let_die(node);
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].start_at && *nodes_[i].start_at <= now_) start(i);
    while (!letters_.empty() && letters_.front().at <= now_) {
      std::pop_heap(letters_.begin(), letters_.end(), std::greater<>());
      Letter letter = std::move(letters_.back());
      letters_.pop_back();
      deliver(std::move(letter));
    }
    for (Node& node : nodes_)
      if (node.site && node.site->next_due() && *node.site->next_due() <= now_) node.site->advance(now_);
  }

  // The rows that the coordinator leaves; a kill that is still due may strike in its stop.
  void finish() {
    if (scene_.secure() && view_.detail) outcome_.stalemate = stalemate();
    if (view_.detail && view_.detail->summary.state != JobState::kFinished && !outcome_.stalemate)
      oracle_.find("the operator was told that the job is " + std::string(covey::name_of(view_.detail->summary.state)));
    if (!view_.detail) oracle_.find("the operator was refused");
    Node& node = nodes_[kCoordinator];
    std::vector<Row> rows;
    if (node.site) rows = node.site->stop();
    if (rows.empty()) {
      node.site.reset();
      ++node.starts;
      const auto site = make_process(plan_.kills.size());
      site->start(now_);
      (void)site->settle();
      if (const auto boot = site->take_boot()) oracle_.on_boot(*boot);
      rows = site->stop();
      if (const auto defect = site->defect()) oracle_.find("coordinator: " + *defect);
    }
    oracle_.at_end(rows, outcome_.stalemate ? Oracle::Ending::kStalemate : Oracle::Ending::kFinished);
  }

  std::optional<std::string> stalemate() {
    Bindings::Rows rows;
    for (std::size_t i = kFirstClient; i < nodes_.size(); ++i) rows[i] = i == killed_ ? rows_of_victim() : *nodes_[i].store->scan("");
    return Bindings(rows).stalemate_of(scene_.job, view_.detail->summary);
  }

  // Of a client that is killed: as it leaves them, or as it has left them.
  std::vector<Row> rows_of_victim() {
    Node& node = nodes_[killed_];
    std::vector<Row> rows;
    if (node.site) rows = node.site->stop();
    node.site.reset();
    if (!rows.empty()) return rows;
    ++node.starts;
    const auto site = make_process(plan_.kills.size());
    site->start(now_);
    (void)site->settle();
    return site->stop();
  }

  const Scene& scene_;
  const FaultTable& faults_;
  const Plan& plan_;
  std::string folder_;
  Random random_;
  Oracle oracle_;
  OperatorNode::View view_;
  std::vector<Node> nodes_;
  std::vector<Letter> letters_;  // a heap, the soonest in front
  std::vector<Letter> recorded_;
  std::set<std::pair<std::size_t, Digest>> replayed_frames_;
  std::uint32_t replayed_round_ = 0;
  std::map<std::pair<std::size_t, std::size_t>, Instant> link_free_;
  const Instant begin_ = instant_of_nanos(1'700'000'000'000'000'000);
  Instant now_ = begin_;
  std::uint64_t sequence_ = 0;
  std::size_t killed_ = kCoordinator;
  bool ended_ = false;
  Outcome outcome_;
};

}  // namespace

const char* name_of(Victim victim) { return victim == Victim::kCoordinator ? "coordinator" : "client"; }

Outcome play(const Scene& scene, const FaultTable& faults, const Plan& plan, const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  Outcome outcome = Stage(scene, faults, plan, folder).play();
  std::filesystem::remove_all(folder, ignored);
  return outcome;
}

}  // namespace covey::crash
