// A hostile peer against BlobTransfer: frames and lapses of time in any order, while it is fetched from
// and served. Input: records of one byte, what happens, and for a frame two bytes of length and the frame.
#include "net/blob_transfer.h"

#include <algorithm>

#include "core/crypto/digest.h"
#include "core/store/blobs.h"
#include "net/codec.h"

using namespace covey;

namespace {

constexpr std::size_t kStepsMax = 64;
const PeerKey kPeer{{1}};
const PeerKey kOther{{2}};

Bytes wanted_value() { return Bytes(3 * kChunkBytes + 1, 7); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const BlobRef wanted = MemoryBlobs().put(wanted_value()).value();
  MemoryBlobs blobs;
  BlobTransfer transfer(blobs, {});
  Instant now(std::chrono::seconds(1'000'000));
  transfer.publish({blobs.put(Bytes(100, 3)).value().id, kPeer});
  std::size_t events = transfer.fetch({1, kPeer, wanted}, now).events.size();
  events += transfer.fetch({2, kOther, wanted}, now).events.size();

  ByteSpan rest(data, size);
  for (std::size_t step = 0; step < kStepsMax && !rest.empty(); ++step) {
    const std::uint8_t what = rest[0];
    rest = rest.subspan(1);
    if (what >= 128) {
      now += std::chrono::milliseconds(100 * (what - 127));
      events += transfer.tick(now).events.size();
      continue;
    }
    if (rest.size() < 2) break;
    const std::size_t length = std::min<std::size_t>(rest[0] + 256u * rest[1], rest.size() - 2);
    const Result<Message> message = decode_frame(rest.subspan(2, length));
    rest = rest.subspan(2 + length);
    if (message && is_bulk(*message)) {
      const BlobTransfer::Step answer = transfer.receive(what % 2 == 0 ? kPeer : kOther, *message, now);
      events += answer.events.size();
      COVEY_CHECK(answer.outgoing.size() <= 2 * kChunkCreditsMax);
      for (const auto& outgoing : answer.outgoing) encode_frame(outgoing.message);
    }
  }
  COVEY_CHECK(events <= 2);  // one end for each fetch
  if (blobs.has(wanted.id)) COVEY_CHECK(blobs.get(wanted.id).value() == wanted_value());
  return 0;
}
