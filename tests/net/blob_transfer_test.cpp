#include "net/blob_transfer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "core/base/random.h"
#include "core/crypto/digest.h"
#include "core/store/blobs.h"
#include "net/codec.h"

using namespace covey;

namespace {

const Instant kStart(1'700'000'000s);
const PeerKey kAlice{{1}};
const PeerKey kBob{{2}};
const PeerKey kCarol{{3}};

Bytes content_of(std::size_t size, std::uint64_t seed = 5) {
  Random random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  return bytes;
}

struct Peer {
  explicit Peer(BlobStore& store, BlobTransferConfig config = {}) : transfer(store, config) {}
  BlobTransfer transfer;
  std::vector<Event> events;
};

// A seeded network between peers in virtual time: loses, duplicates and reorders encoded frames.
class Channel {
 public:
  Channel(std::uint64_t seed, double loss, double duplication, Duration jitter)
      : random_(seed), loss_(loss), duplication_(duplication), jitter_(jitter) {}
  void add(PeerKey key, Peer& peer) { peers_[key] = &peer; }
  void take(PeerKey from, BlobTransfer::Step step) {
    Peer& peer = *peers_.at(from);
    for (auto& event : step.events) peer.events.push_back(std::move(event));
    for (auto& outgoing : step.outgoing) {
      if (const auto* want = std::get_if<ChunkListWant>(&outgoing.message)) begun.insert(want->blob.id);
      const Bytes frame = encode_frame(outgoing.message);
      const int copies = random_.uniform() < duplication_ ? 2 : 1;
      for (int i = 0; i < copies; ++i) {
        if (random_.uniform() < loss_) continue;
        const Duration delay = 1ms + from_seconds(random_.uniform() * seconds(jitter_));
        if (std::holds_alternative<Chunk>(outgoing.message)) free_ = std::max(free_, now_) + chunk_time;
        const Instant start = std::holds_alternative<Chunk>(outgoing.message) ? free_ : now_;
        frames_.insert({start + delay, {from, outgoing.to, frame}});
      }
    }
  }
  // Runs until nothing more would happen, or `until`.
  void run(Instant until) {
    for (;;) {
      std::optional<Instant> next;
      if (!frames_.empty()) next = frames_.begin()->first;
      for (const auto& [key, peer] : peers_)
        if (const auto due = peer->transfer.next_tick(); due && (!next || *due < *next)) next = due;
      if (!next || *next > until) return;
      now_ = std::max(now_, *next);
      for (const auto& [key, peer] : peers_)
        if (const auto due = peer->transfer.next_tick(); due && *due <= now_)
          take(key, peer->transfer.tick(now_));
      if (!frames_.empty() && frames_.begin()->first <= now_) deliver_first();
    }
  }
  Instant now() const { return now_; }
  std::size_t delivered = 0;
  std::set<Digest> begun;  // blobs whose list was asked for
  Duration chunk_time{};  // what a chunk occupies the one line for

 private:
  struct Frame {
    PeerKey from, to;
    Bytes bytes;
  };
  void deliver_first() {
    const Frame frame = std::move(frames_.begin()->second);
    frames_.erase(frames_.begin());
    ++delivered;
    const auto peer = peers_.find(frame.to);
    if (peer == peers_.end()) return;
    const Result<Message> message = decode_frame(frame.bytes);
    REQUIRE(message);
    take(frame.to, peer->second->transfer.receive(frame.from, *message, now_));
  }
  Random random_;
  double loss_, duplication_;
  Duration jitter_;
  Instant now_ = kStart;
  Instant free_ = kStart;
  std::map<PeerKey, Peer*> peers_;
  std::multimap<Instant, Frame> frames_;
};

const BlobFetched& fetched(const Peer& peer, std::size_t i = 0) {
  REQUIRE(peer.events.size() > i);
  const auto* event = std::get_if<BlobFetched>(&peer.events[i]);
  if (const auto* failed = std::get_if<BlobFailed>(&peer.events[i])) FAIL(failed->error.message);
  REQUIRE(event != nullptr);
  return *event;
}

const Error& failure(const Peer& peer, std::size_t i = 0) {
  REQUIRE(peer.events.size() > i);
  const auto* event = std::get_if<BlobFailed>(&peer.events[i]);
  REQUIRE(event != nullptr);
  return event->error;
}

struct Pair {
  Pair(std::uint64_t seed, double loss, double duplication, Duration jitter)
      : channel(seed, loss, duplication, jitter) {
    channel.add(kAlice, alice);
    channel.add(kBob, bob);
  }
  MemoryBlobs alice_blobs, bob_blobs;
  Peer alice{alice_blobs}, bob{bob_blobs};
  Channel channel;
  // Bob fetches `content` from Alice, who offers it to him.
  BlobRef offer(const Bytes& content) {
    const BlobRef blob = alice_blobs.put(content).value();
    alice.transfer.publish({blob.id, kBob});
    return blob;
  }
  void fetch(Ticket ticket, const BlobRef& blob) {
    channel.take(kBob, bob.transfer.fetch({ticket, kAlice, blob}, channel.now()));
  }
};

}  // namespace

TEST_CASE("blob transfer: values of every size arrive, small ones with their content") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kSmallBlobBytes, kSmallBlobBytes + 1,
                                 kChunkBytes, kChunkBytes + 1, 20 * kChunkBytes + 7}) {
    CAPTURE(size);
    Pair pair(1, 0, 0, 0s);
    const Bytes content = content_of(size);
    const BlobRef blob = pair.offer(content);
    pair.fetch(9, blob);
    pair.channel.run(kStart + 10s);
    CHECK(fetched(pair.bob).ticket == 9);
    CHECK(fetched(pair.bob).blob == blob);
    CHECK(fetched(pair.bob).content == (size <= kSmallBlobBytes ? content : Bytes{}));
    CHECK(pair.bob_blobs.get(blob.id).value() == content);
    CHECK(!pair.bob.transfer.next_tick());
  }
}

TEST_CASE("blob transfer: who asks for a longer value gets it along, and only who asks") {
  const Bytes content = content_of(3 * kChunkBytes + 5);
  Pair pair(1, 0, 0, 0s);
  const BlobRef blob = pair.offer(content);
  pair.channel.take(kBob, pair.bob.transfer.fetch({1, kAlice, blob}, pair.channel.now()));
  FetchBlob whole{2, kAlice, blob};
  whole.content_bytes_max = content.size();
  pair.channel.take(kBob, pair.bob.transfer.fetch(whole, pair.channel.now()));
  pair.channel.run(kStart + 10s);
  REQUIRE(pair.bob.events.size() == 2);
  CHECK(std::get<BlobFetched>(pair.bob.events[0]).content.empty());
  CHECK(std::get<BlobFetched>(pair.bob.events[1]).content == content);
  pair.bob.events.clear();
  whole.ticket = 3;  // it is here already now
  pair.channel.take(kBob, pair.bob.transfer.fetch(whole, pair.channel.now()));
  CHECK(std::get<BlobFetched>(pair.bob.events.at(0)).content == content);
  whole.content_bytes_max = content.size() - 1;
  pair.channel.take(kBob, pair.bob.transfer.fetch(whole, pair.channel.now()));
  CHECK(std::get<BlobFetched>(pair.bob.events.at(1)).content.empty());
}

TEST_CASE("blob transfer: survives loss, duplication and reordering") {
  const Bytes content = content_of(30 * kChunkBytes + 99);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Pair pair(seed, 0.3, 0.2, 3s);
    const BlobRef blob = pair.offer(content);
    pair.fetch(1, blob);
    pair.channel.run(kStart + 1h);
    REQUIRE(pair.bob.events.size() == 1);
    CHECK(fetched(pair.bob).blob == blob);
    CHECK(pair.bob_blobs.get(blob.id).value() == content);
    CHECK(pair.bob.transfer.wrong_chunks() == 0);
  }
}

TEST_CASE("blob transfer: nothing is sent twice on a clean link, and little on a slow one") {
  Pair pair(1, 0, 0, 0s);
  const BlobRef blob = pair.offer(content_of(20 * kChunkBytes));
  const std::size_t wants = 1 + 1 + 12;  // the list, 8 chunks, then one for each that arrives but the last 8
  SUBCASE("clean") {
    pair.fetch(1, blob);
    pair.channel.run(kStart + 1h);
    CHECK(pair.channel.delivered == wants + 1 + 20);
  }
  SUBCASE("slow: 5 s a chunk, more than it takes to ask again") {
    pair.channel.chunk_time = 5s;
    pair.fetch(1, blob);
    pair.channel.run(kStart + 1h);
    CHECK(pair.channel.delivered <= 2 * (wants + 1 + 20));
  }
  fetched(pair.bob);
}

TEST_CASE("blob transfer: a peer that connects anew is asked at once for what it owes") {
  MemoryBlobs blobs;
  BlobTransfer bob(blobs, {});
  MemoryBlobs source;
  const BlobRef blob = source.put(content_of(3 * kChunkBytes)).value();
  bob.fetch({1, kAlice, blob}, kStart);
  auto step = bob.reconnected(kAlice, kStart);
  REQUIRE(step.outgoing.size() == 1);
  CHECK(step.outgoing[0].message == Message(ChunkListWant{blob, 0}));
  bob.receive(kAlice, ChunkList{blob.id, 0, source.chunk_hashes(blob.id).value()}, kStart);
  step = bob.reconnected(kAlice, kStart);
  REQUIRE(step.outgoing.size() == 1);
  CHECK(step.outgoing[0].message == Message(ChunkWant{blob.id, {0, 1, 2}}));
  CHECK(bob.reconnected(kCarol, kStart).outgoing.empty());
}

TEST_CASE("blob transfer: what is here already is answered at once") {
  Pair pair(1, 0, 0, 0s);
  const Bytes content = content_of(100);
  const BlobRef blob = pair.bob_blobs.put(content).value();
  pair.fetch(4, blob);
  CHECK(fetched(pair.bob).content == content);
  pair.fetch(5, {blob.id, 101});
  CHECK(failure(pair.bob, 1).code == ErrorCode::kInvalidMessage);
  CHECK(pair.channel.delivered == 0);
}

TEST_CASE("blob transfer: several fetches of one blob share its chunks") {
  Pair pair(1, 0, 0, 0s);
  const BlobRef blob = pair.offer(content_of(5 * kChunkBytes));
  pair.fetch(1, blob);
  pair.fetch(2, blob);
  pair.bob.transfer.cancel(1);
  pair.fetch(3, blob);
  pair.channel.run(kStart + 10s);
  REQUIRE(pair.bob.events.size() == 2);
  CHECK(fetched(pair.bob, 0).ticket == 2);
  CHECK(fetched(pair.bob, 1).ticket == 3);
  CHECK(pair.channel.delivered == 1 + 1 + 1 + 5);  // list, want and chunks once
}

TEST_CASE("blob transfer: a cancelled fetch ends without an event") {
  Pair pair(1, 0, 0, 0s);
  const BlobRef blob = pair.offer(content_of(5 * kChunkBytes));
  pair.fetch(1, blob);
  pair.bob.transfer.cancel(1);
  pair.channel.run(kStart + 2min);
  CHECK(pair.bob.events.empty());
  CHECK(!pair.bob.transfer.next_tick());
}

TEST_CASE("blob transfer: resumes after a restart") {
  const std::string folder = "net_blob_transfer_resume";
  std::filesystem::remove_all(folder);
  MemoryBlobs alice_blobs;
  Peer alice(alice_blobs);
  const Bytes content = content_of(40 * kChunkBytes);
  const BlobRef blob = alice_blobs.put(content).value();
  alice.transfer.publish({blob.id, std::nullopt});
  std::size_t first_run = 0;
  {
    const auto bob_blobs = open_blob_files(folder).value();
    Peer bob(*bob_blobs);
    Channel channel(3, 0, 0, 10ms);
    channel.add(kAlice, alice);
    channel.add(kBob, bob);
    channel.take(kBob, bob.transfer.fetch({1, kAlice, blob}, kStart));
    channel.run(kStart + 50ms);
    first_run = channel.delivered;
    REQUIRE(bob.events.empty());
    REQUIRE(first_run > 20);
  }
  const auto bob_blobs = open_blob_files(folder).value();
  Peer bob(*bob_blobs);
  Channel channel(4, 0, 0, 10ms);
  channel.add(kAlice, alice);
  channel.add(kBob, bob);
  channel.take(kBob, bob.transfer.fetch({2, kAlice, blob}, kStart));
  channel.run(kStart + 10s);
  CHECK(fetched(bob).ticket == 2);
  CHECK(bob_blobs->get(blob.id).value() == content);
  CHECK(channel.delivered < 80 - first_run / 2);  // a whole transfer takes some 75
  std::filesystem::remove_all(folder);
}

TEST_CASE("blob transfer: only what is published is served, and only to whom it is offered") {
  Pair pair(1, 0, 0, 0s);
  const BlobRef secret = pair.alice_blobs.put(content_of(10)).value();
  const BlobRef for_carol = pair.alice_blobs.put(content_of(20)).value();
  pair.alice.transfer.publish({for_carol.id, kCarol});
  const BlobRef gone = pair.offer(content_of(30));
  pair.alice.transfer.withdraw(gone.id);
  Ticket ticket = 0;
  for (const BlobRef& blob : {secret, for_carol, gone}) pair.fetch(++ticket, blob);
  pair.channel.run(kStart + 10s);
  REQUIRE(pair.bob.events.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(failure(pair.bob, i).code == ErrorCode::kNotFound);
  // Without the list too: a want for a chunk is refused just the same.
  const auto step = pair.alice.transfer.receive(kBob, ChunkWant{for_carol.id, {0}}, kStart);
  REQUIRE(step.outgoing.size() == 1);
  CHECK(std::holds_alternative<BlobRefused>(step.outgoing[0].message));
}

TEST_CASE("blob transfer: a driver is told what it serves and cannot read, the peer only that it cannot") {
  Pair pair(1, 0, 0, 0s);
  const BlobRef blob = pair.offer(content_of(10));
  REQUIRE(pair.alice_blobs.erase(blob.id));
  for (const Message& want : {Message(ChunkListWant{blob, 0}), Message(ChunkWant{blob.id, {0}})}) {
    const auto step = pair.alice.transfer.receive(kBob, want, kStart);
    REQUIRE(step.unreadable.size() == 1);
    CHECK(step.unreadable[0].first == blob.id);
    CHECK(step.unreadable[0].second.code == ErrorCode::kNotFound);
    REQUIRE(step.outgoing.size() == 1);
    CHECK(std::get<BlobRefused>(step.outgoing[0].message).error.code == ErrorCode::kInternal);
  }
}

TEST_CASE("blob transfer: a silent sender is given up, a busy one asked again") {
  Pair pair(1, 1.0, 0, 0s);
  const BlobRef blob = pair.offer(content_of(10));
  pair.fetch(1, blob);
  pair.channel.run(kStart + 59s);
  CHECK(pair.bob.events.empty());
  CHECK(!pair.bob.transfer
             .receive(kAlice, BlobRefused{blob.id, {ErrorCode::kUnavailable, "later"}}, kStart + 59s)
             .events.size());
  pair.channel.run(kStart + 61s);
  CHECK(failure(pair.bob).code == ErrorCode::kUnavailable);
}

TEST_CASE("blob transfer: a lying sender is dropped, its chunks are not kept") {
  MemoryBlobs blobs;
  BlobTransfer bob(blobs, {});
  const Bytes content = content_of(3 * kChunkBytes);
  MemoryBlobs source;
  const BlobRef blob = source.put(content).value();
  auto step = bob.fetch({1, kAlice, blob}, kStart);
  REQUIRE(step.outgoing.size() == 1);

  SUBCASE("a list with too many or too few entries") {
    for (const std::size_t count : {4u, 2u, 0u}) {
      step = bob.receive(kAlice, ChunkList{blob.id, 0, std::vector<Digest>(count)}, kStart);
    }
  }
  SUBCASE("a list of other hashes") {
    for (int i = 0; i < 3; ++i)
      step = bob.receive(kAlice, ChunkList{blob.id, 0, std::vector<Digest>(3)}, kStart);
  }
  SUBCASE("chunks of other bytes or of a wrong size") {
    step = bob.receive(kAlice, ChunkList{blob.id, 0, source.chunk_hashes(blob.id).value()}, kStart);
    for (const Bytes& bytes : {Bytes(kChunkBytes), Bytes(1), Bytes(kChunkBytes - 1)}) {
      CHECK(step.events.empty());
      REQUIRE(step.outgoing.size() == 1);  // asks again
      CHECK(std::holds_alternative<ChunkWant>(step.outgoing[0].message));
      step = bob.receive(kAlice, Chunk{blob.id, 0, bytes}, kStart);
    }
    CHECK(bob.wrong_chunks() == 3);
  }
  REQUIRE(step.events.size() == 1);
  CHECK(std::get<BlobFailed>(step.events[0]).error.code == ErrorCode::kInvalidMessage);
  CHECK(!bob.next_tick());
  CHECK(!blobs.has(blob.id));
}

TEST_CASE("blob transfer: a liar does not stop an honest sender of the same blob") {
  MemoryBlobs alice_blobs, carol_blobs, bob_blobs;
  Peer alice(alice_blobs), bob(bob_blobs);
  Channel channel(1, 0, 0, 0s);
  channel.add(kAlice, alice);
  channel.add(kBob, bob);
  const Bytes content = content_of(4 * kChunkBytes);
  const BlobRef blob = alice_blobs.put(content).value();
  alice.transfer.publish({blob.id, std::nullopt});
  bob.transfer.fetch({1, kCarol, blob}, kStart);  // Carol lies first
  channel.take(kBob, bob.transfer.fetch({2, kAlice, blob}, kStart));
  for (int i = 0; i < 3; ++i)
    channel.take(kBob, bob.transfer.receive(kCarol, ChunkList{blob.id, 0, std::vector<Digest>(4)}, kStart));
  channel.run(kStart + 10s);
  REQUIRE(bob.events.size() == 2);
  CHECK(failure(bob, 0).code == ErrorCode::kInvalidMessage);
  CHECK(fetched(bob, 1).ticket == 2);
  CHECK(bob_blobs.get(blob.id).value() == content);
}

TEST_CASE("blob transfer: what was not asked for is ignored") {
  MemoryBlobs blobs;
  BlobTransfer bob(blobs, {});
  const Bytes content = content_of(kChunkBytes);
  MemoryBlobs source;
  const BlobRef blob = source.put(content).value();
  const auto ignored = [&](PeerKey from, const Message& message) {
    const auto step = bob.receive(from, message, kStart);
    return step.events.empty() && step.outgoing.empty();
  };
  CHECK(ignored(kAlice, Chunk{blob.id, 0, content}));
  CHECK(ignored(kAlice, ChunkList{blob.id, 0, {Digest{}}}));
  CHECK(ignored(kAlice, BlobRefused{blob.id, {ErrorCode::kNotFound, "x"}}));
  bob.fetch({1, kAlice, blob}, kStart);
  CHECK(ignored(kCarol, ChunkList{blob.id, 0, source.chunk_hashes(blob.id).value()}));
  CHECK(ignored(kCarol, BlobRefused{blob.id, {ErrorCode::kNotFound, "x"}}));
  CHECK(ignored(kAlice, Chunk{blob.id, 0, content}));  // before its list
  CHECK(ignored(kAlice, BulkHello{}));
}

TEST_CASE("blob transfer: impossible sizes and ids are refused") {
  MemoryBlobs blobs;
  BlobTransfer bob(blobs, {.blob_bytes_max = 1000});
  const auto code = [&](const BlobRef& blob) {
    const auto step = bob.fetch({1, kAlice, blob}, kStart);
    REQUIRE(step.events.size() == 1);
    return std::get<BlobFailed>(step.events[0]).error.code;
  };
  CHECK(code({Digest{{1}}, 1001}) == ErrorCode::kResourceExhausted);
  CHECK(code({Digest{{1}}, 0}) == ErrorCode::kInvalidMessage);
}

TEST_CASE("blob transfer: stalled senders give way to those that wait") {
  MemoryBlobs alice_blobs, bob_blobs;
  BlobTransferConfig config;
  config.active_max = 2;
  Peer alice(alice_blobs), bob(bob_blobs, config);
  Channel channel(1, 0, 0, 0s);
  channel.add(kAlice, alice);
  channel.add(kBob, bob);
  for (std::uint8_t i = 0; i < 4; ++i)  // Carol does not answer
    channel.take(kBob, bob.transfer.fetch({i + 1u, kCarol, {Digest{{i}}, 10}}, kStart));
  for (std::uint64_t i = 0; i < 3; ++i) {
    const BlobRef blob = alice_blobs.put(content_of(3 * kChunkBytes, i)).value();
    alice.transfer.publish({blob.id, std::nullopt});
    channel.take(kBob, bob.transfer.fetch({10 + i, kAlice, blob}, kStart));
  }
  channel.run(kStart + 10s);
  CHECK(bob.events.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(fetched(bob, i).ticket >= 10);
  channel.run(kStart + 5min);
  CHECK(bob.events.size() == 7);  // and in the end they are given up
  for (std::size_t i = 3; i < 7; ++i) CHECK(failure(bob, i).code == ErrorCode::kUnavailable);
}

namespace {

// The most values that lay unfinished at once, of twelve that as many senders offer together.
std::size_t most_unfinished(Duration chunk_time) {
  MemoryBlobs source, blobs;
  Channel channel(3, 0, 0, 0s);
  channel.chunk_time = chunk_time;
  Peer bob(blobs);
  channel.add(kBob, bob);
  std::vector<std::unique_ptr<Peer>> senders;
  for (std::uint8_t i = 0; i < 12; ++i) {
    const PeerKey key{{static_cast<std::uint8_t>(50 + i)}};
    senders.push_back(std::make_unique<Peer>(source));
    channel.add(key, *senders.back());
    const BlobRef blob = source.put(content_of(20 * kChunkBytes, i)).value();
    senders.back()->transfer.publish({blob.id, kBob});
    channel.take(kBob, bob.transfer.fetch({i, key, blob}, kStart));
  }
  std::size_t most = 0;
  for (Instant until = kStart; bob.events.size() < 12 && until < kStart + 60s; until += 1ms) {
    channel.run(until);
    most = std::max(most, channel.begun.size() - bob.events.size());
  }
  REQUIRE(bob.events.size() == 12);
  for (std::size_t i = 0; i < 12; ++i) fetched(bob, i);
  return most;
}

}  // namespace

TEST_CASE("blob transfer: a flood of chunks is a few values at a time, a trickle is one of each sender") {
  CHECK(most_unfinished(200us) == 4);
  CHECK(most_unfinished(20ms) == 12);
}

TEST_CASE("blob transfer: only so many unfinished values are kept") {
  MemoryBlobs source, blobs;
  BlobTransfer bob(blobs, {.give_up = 1s});
  std::vector<BlobRef> refs;
  for (std::uint64_t i = 0; i < 66; ++i) {
    refs.push_back(source.put(content_of(kChunkBytes + 1, i)).value());
    const Instant now = kStart + std::chrono::seconds(10 * i);
    bob.fetch({i, kAlice, refs.back()}, now);
    const auto hashes = source.chunk_hashes(refs.back().id).value();
    bob.receive(kAlice, ChunkList{refs.back().id, 0, hashes}, now);
    bob.receive(kAlice, Chunk{refs.back().id, 1, source.read(refs.back().id, kChunkBytes, 1).value()}, now);
    CHECK(bob.tick(now + 2s).events.size() == 1);
  }
  const auto kept = [&](const BlobRef& blob) -> bool {
    return blobs.begin_partial(blob, source.chunk_hashes(blob.id).value()).value()[1];
  };
  CHECK(!kept(refs[0]));
  CHECK(!kept(refs[1]));
  CHECK(kept(refs[2]));
  CHECK(kept(refs[65]));
}
