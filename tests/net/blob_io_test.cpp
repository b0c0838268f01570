// A transfer whose work on the store is done by its driver, and the pool that does it.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <system_error>

#include "core/base/random.h"
#include "core/store/blobs.h"
#include "net/blob_io_pool.h"
#include "net/blob_transfer.h"

using namespace covey;

namespace {

const Instant kStart(1'700'000'000s);
const PeerKey kAlice{{1}};
const PeerKey kBob{{2}};

Bytes content_of(std::size_t size) {
  Random random(5);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  return bytes;
}

// Bob fetches from Alice over a perfect link; his disk works when the test says so.
struct Slow {
  explicit Slow(std::size_t chunks, BlobTransferConfig config = {}) : bob(theirs, by_driver(config)), alice(ours, {}) {
    blob = ours.put(content_of(chunks * kChunkBytes)).value();
    alice.publish({blob.id, std::nullopt});
  }
  static BlobTransferConfig by_driver(BlobTransferConfig config) {
    config.io_by = BlobIoBy::kDriver;
    return config;
  }
  void take(BlobTransfer::Step step) {
    for (auto& event : step.events) events.push_back(std::move(event));
    for (auto& io : bob.take_io()) disk.push_back(std::move(io));
    for (auto& outgoing : step.outgoing) {
      if (const auto* want = std::get_if<ChunkWant>(&outgoing.message)) asked += want->indices.size();
      const auto answers = alice.receive(kBob, std::move(outgoing.message), now);
      for (const auto& answer : answers.outgoing) take(bob.receive(kAlice, answer.message, now));
    }
  }
  bool work() {  // one piece
    if (disk.empty()) return false;
    BlobIo io = std::move(disk.front());
    disk.pop_front();
    take(bob.proceed(io.run(theirs), now));
    return true;
  }
  MemoryBlobs ours, theirs;
  BlobTransfer bob, alice;
  BlobRef blob;
  Instant now = kStart;
  std::deque<BlobIo> disk;
  std::vector<Event> events;
  std::size_t asked = 0;
};

}  // namespace

TEST_CASE("blob io: no further chunk is asked for before one is written, and a slow disk is not a dead link") {
  Slow s(30, {.credits = 4});
  s.take(s.bob.fetch({1, kAlice, s.blob}, s.now));
  REQUIRE(s.work());  // it is not here
  REQUIRE(s.work());  // begun
  CHECK(s.asked == 4);
  CHECK(s.disk.size() == 4);
  s.now += 10min;
  s.take(s.bob.tick(s.now));
  CHECK(s.asked == 4);
  CHECK(s.events.empty());
  REQUIRE(s.work());
  CHECK(s.asked == 5);
  while (s.work()) CHECK(s.disk.size() <= 4);
  CHECK(s.asked == 30);
  REQUIRE(s.events.size() == 1);
  CHECK(std::holds_alternative<BlobFetched>(s.events[0]));
  CHECK(s.theirs.get(s.blob.id).value() == s.ours.get(s.blob.id).value());
}

TEST_CASE("blob io: the chunks under way are bounded in all, and shared") {
  BlobTransferConfig config{.credits = 8, .chunks_max = 6, .active_per_source_max = 32};
  Slow s(20, config);
  std::vector<BlobRef> blobs;
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes content = content_of(20 * kChunkBytes);
    content[0] = static_cast<std::uint8_t>(i);
    blobs.push_back(s.ours.put(content).value());
    s.alice.publish({blobs.back().id, std::nullopt});
    s.take(s.bob.fetch({i + 1, kAlice, blobs.back()}, s.now));
  }
  std::size_t most = 0;
  while (s.work()) most = std::max(most, s.disk.size());
  CHECK(most <= 6 + 3);  // and a piece to begin or finish each
  CHECK(s.events.size() == 3);
  for (const BlobRef& blob : blobs) CHECK(s.theirs.has(blob.id));
}

TEST_CASE("blob io: the credits go to the blobs that lack the least, so that these are whole first") {
  Slow s(1, {.credits = 8, .chunks_max = 12, .active_per_source_max = 32});
  const std::size_t chunks[] = {40, 10, 20};
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes content = content_of(chunks[i] * kChunkBytes);
    content[0] = static_cast<std::uint8_t>(i);
    const BlobRef blob = s.ours.put(content).value();
    s.alice.publish({blob.id, std::nullopt});
    s.take(s.bob.fetch({i + 1, kAlice, blob}, s.now));
  }
  std::size_t most = 0;
  while (s.work()) most = std::max(most, s.disk.size());
  CHECK(most <= 12 + 3);
  REQUIRE(s.events.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::get<BlobFetched>(s.events[i]).ticket == std::array<Ticket, 3>{2, 3, 1}[i]);
}

TEST_CASE("blob io: what has come of a fetch that is cancelled is kept if it is to be, until the blob is erased") {
  for (const bool erased : {false, true})
    for (const Unfinished unfinished : {Unfinished::kKeep, Unfinished::kDrop}) {
      Slow s(30, {.credits = 4});
      s.take(s.bob.fetch({1, kAlice, s.blob, Keep::kUnfinished}, s.now));
      for (int piece = 0; piece < 5; ++piece) REQUIRE(s.work());  // looked for, begun, three written and four to be
      CHECK(s.asked == 7);
      s.bob.cancel(1, unfinished);
      s.take({});
      while (s.work()) {
      }
      if (erased) {  // as a driver does
        s.bob.erased(s.blob.id);
        s.theirs.drop_partial(s.blob.id);
      }
      s.take(s.bob.fetch({2, kAlice, s.blob}, s.now));
      while (s.work()) {
      }
      CHECK(s.asked == (unfinished == Unfinished::kKeep && !erased ? 30 : 37));
      REQUIRE(s.events.size() == 1);
      CHECK(s.theirs.get(s.blob.id).value() == s.ours.get(s.blob.id).value());
    }
}

TEST_CASE("blob io: what is cancelled while the disk works ends in nothing, and can be fetched anew") {
  for (int pieces = 0; pieces < 12; ++pieces) {
    CAPTURE(pieces);
    Slow s(5);
    s.take(s.bob.fetch({1, kAlice, s.blob}, s.now));
    for (int i = 0; i < pieces; ++i) s.work();
    const std::size_t before = s.events.size();
    s.bob.cancel(1);
    s.take({});
    s.take(s.bob.fetch({2, kAlice, s.blob}, s.now));
    while (s.work()) {
    }
    REQUIRE(s.events.size() == before + 1);
    CHECK(std::get<BlobFetched>(s.events.back()).ticket == 2);
    CHECK(s.theirs.get(s.blob.id).value() == s.ours.get(s.blob.id).value());
  }
}

TEST_CASE("blob io: an unfinished fetch is readable and not whole; a durable one of it makes it whole") {
  Slow s(3);
  s.take(s.bob.fetch({1, kAlice, s.blob, Keep::kUnfinished}, s.now));
  while (s.work()) {
  }
  REQUIRE(s.events.size() == 1);
  CHECK_FALSE(s.theirs.has(s.blob.id));
  Bytes back(static_cast<std::size_t>(s.blob.size));
  REQUIRE(s.theirs.read_written(s.blob.id, 0, back));
  CHECK(back == s.ours.get(s.blob.id).value());
  const std::size_t asked = s.asked;
  s.take(s.bob.fetch({2, kAlice, s.blob}, s.now));
  while (s.work()) {
  }
  CHECK(s.events.size() == 2);
  CHECK(s.asked == asked);
  CHECK(s.theirs.has(s.blob.id));
}

namespace {

// A store that throws in one of its calls, as one whose memory or disk ran out.
class ThrowingBlobs final : public BlobStore {
 public:
  enum class In { kNothing, kHas, kBegin, kWrite, kFinish, kRead, kHashes };
  ThrowingBlobs(In in, bool disk) : in_(in), disk_(disk) {}
  Result<BlobRef> put(ByteSpan value) override { return inner_.put(value); }
  bool has(const Digest& id) override { return maybe(In::kHas), inner_.has(id); }
  Result<Bytes> get(const Digest& id) override { return inner_.get(id); }
  Result<std::uint64_t> size(const Digest& id) override { return inner_.size(id); }
  Result<Bytes> read(const Digest& id, std::uint64_t offset, std::size_t length) override {
    return maybe(In::kRead), inner_.read(id, offset, length);
  }
  Result<void> read_written(const Digest& id, std::uint64_t offset, std::span<std::uint8_t> out) override {
    return inner_.read_written(id, offset, out);
  }
  Result<std::vector<Digest>> chunk_hashes(const Digest& id) override { return maybe(In::kHashes), inner_.chunk_hashes(id); }
  Result<std::vector<bool>> begin_partial(const BlobRef& blob, const std::vector<Digest>& hashes) override {
    return maybe(In::kBegin), inner_.begin_partial(blob, hashes);
  }
  Result<void> write_chunk(const Digest& id, std::size_t index, ByteSpan chunk) override {
    return maybe(In::kWrite), inner_.write_chunk(id, index, chunk);
  }
  Result<void> finish_partial(const Digest& id) override { return maybe(In::kFinish), inner_.finish_partial(id); }
  void drop_partial(const Digest& id) override { maybe(In::kWrite), inner_.drop_partial(id); }
  Result<void> erase(const Digest& id) override { return inner_.erase(id); }
  Result<std::vector<Digest>> list() override { return inner_.list(); }

 private:
  void maybe(In here) const {
    if (here == in_ && disk_) throw std::system_error(std::make_error_code(std::errc::no_space_on_device));
    if (here == in_) throw std::bad_alloc();
  }
  MemoryBlobs inner_;
  In in_;
  bool disk_;
};

}  // namespace

TEST_CASE("blob io: a store that throws fails the fetch, on the pool's threads too") {
  using In = ThrowingBlobs::In;
  for (const auto& [in, disk] : {std::pair{In::kHas, false}, {In::kBegin, false}, {In::kWrite, false}, {In::kFinish, true}, {In::kWrite, true}}) {
    CAPTURE(static_cast<int>(in));
    ThrowingBlobs theirs(in, disk);
    MemoryBlobs ours;
    const BlobRef blob = ours.put(content_of(3 * kChunkBytes)).value();
    BlobTransfer alice(ours, {}), bob(theirs, {.io_by = BlobIoBy::kDriver});
    alice.publish({blob.id, std::nullopt});
    std::mutex mutex;
    std::condition_variable came;
    std::deque<BlobIo::Continue> done;
    std::vector<Event> events;
    std::size_t under_way = 0;
    BlobIoPool pool(2);
    const std::function<void(BlobTransfer::Step)> take = [&](BlobTransfer::Step step) {
      for (auto& event : step.events) events.push_back(std::move(event));
      for (auto& io : bob.take_io()) {
        ++under_way;
        pool.submit(io.blob, [&, run = std::move(io.run)] {
          auto next = run(theirs);
          const std::lock_guard lock(mutex);
          done.push_back(std::move(next));
          came.notify_one();
        });
      }
      for (auto& outgoing : step.outgoing)
        for (const auto& answer : alice.receive(kBob, std::move(outgoing.message), kStart).outgoing)
          take(bob.receive(kAlice, answer.message, kStart));
    };
    take(bob.fetch({1, kAlice, blob}, kStart));
    while (under_way > 0) {
      std::unique_lock lock(mutex);
      REQUIRE(came.wait_for(lock, 20s, [&] { return !done.empty(); }));
      const BlobIo::Continue next = std::move(done.front());
      done.pop_front();
      lock.unlock();
      --under_way;
      take(bob.proceed(next, kStart));
    }
    REQUIRE(events.size() == 1);
    const auto* failed = std::get_if<BlobFailed>(&events[0]);
    REQUIRE(failed != nullptr);
    CHECK(failed->error.code == (disk ? ErrorCode::kDiskFull : ErrorCode::kResourceExhausted));
  }
}

TEST_CASE("blob io: a store that throws when it is read from refuses the peer") {
  for (const auto in : {ThrowingBlobs::In::kRead, ThrowingBlobs::In::kHashes}) {
    ThrowingBlobs ours(in, false);
    const BlobRef blob = ours.put(content_of(kChunkBytes)).value();
    BlobTransfer alice(ours, {});
    alice.publish({blob.id, std::nullopt});
    const auto answers = in == ThrowingBlobs::In::kRead ? alice.receive(kBob, ChunkWant{blob.id, {0}}, kStart)
                                                        : alice.receive(kBob, ChunkListWant{blob, 0}, kStart);
    REQUIRE(answers.outgoing.size() == 1);
    CHECK(std::holds_alternative<BlobRefused>(answers.outgoing[0].message));
  }
}

TEST_CASE("blob io pool: one blob's work keeps its order, and several blobs take turns") {
  std::map<std::uint8_t, std::vector<int>> order;
  std::atomic<int> running{0}, most{0};
  {
    BlobIoPool pool(3);
    for (std::uint8_t blob = 0; blob < 5; ++blob) order[blob].reserve(200);
    for (int i = 0; i < 200; ++i)
      for (std::uint8_t blob = 0; blob < 5; ++blob)
        pool.submit(Digest{{blob}}, [&, blob, i] {
          most = std::max(most.load(), ++running);
          order[blob].push_back(i);
          --running;
        });
  }
  for (const auto& [blob, done] : order) {
    REQUIRE(done.size() == 200);
    CHECK(std::is_sorted(done.begin(), done.end()));
  }
  CHECK(most <= 3);
}
