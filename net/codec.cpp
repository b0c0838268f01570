#include "net/codec.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstring>

#include "net/codec_families.h"
#include "net/schema/frame.capnp.h"

namespace covey {
namespace {

using codec::Fields;
using schema::Frame;

// Room for the whole message in the first segment, so that there is only one.
unsigned first_segment_words(const Message& message) {
  std::size_t bytes = kControlFrameBytesMax;
  if (const auto* chunk = std::get_if<Chunk>(&message)) bytes = chunk->bytes.size() + 1024;
  if (const auto* list = std::get_if<ChunkList>(&message)) bytes = list->hashes.size() * Digest::kSize + 1024;
  return static_cast<unsigned>(bytes / sizeof(capnp::word));
}

void write_frame(Frame::Builder to, const Message& message) {
  using codec::write;
  struct Writer {
    Frame::Builder to;
    void operator()(const Enrol& m) { write(to.initEnrol(), m); }
    void operator()(const EnrolAccepted&) { to.setEnrolAccepted(); }
    void operator()(const EnrolRefused& m) { write(to.initEnrolRefused(), m.error); }
    void operator()(const Join& m) { write(to.initJoin(), m); }
    void operator()(const JoinAccepted& m) { write(to.initJoinAccepted(), m); }
    void operator()(const JoinRefused& m) { write(to.initJoinRefused(), m); }
    void operator()(const Heartbeat& m) { write(to.initHeartbeat(), m); }
    void operator()(const HeartbeatAck&) { to.setHeartbeatAck(); }
    void operator()(const Ping&) { to.setPing(); }
    void operator()(const RejoinRequired&) { to.setRejoinRequired(); }
    void operator()(const Leave&) { to.setLeave(); }
    void operator()(const RoundOffer& m) { write(to.initRoundOffer(), m); }
    void operator()(const RoundAccept& m) { write(to.initRoundAccept(), m.key); }
    void operator()(const RoundDecline& m) { write(to.initRoundDecline(), m); }
    void operator()(const UpdateReady& m) { write(to.initUpdateReady(), m); }
    void operator()(const RoundFailed& m) { write(to.initRoundFailed(), m); }
    void operator()(const UpdateAccepted& m) { write(to.initUpdateAccepted(), m.key); }
    void operator()(const UpdateRefused& m) { write(to.initUpdateRefused(), m); }
    void operator()(const RoundClosed& m) { write(to.initRoundClosed(), m); }
    void operator()(const ChunkListWant& m) { write(to.initChunkListWant(), m); }
    void operator()(const ChunkList& m) { write(to.initChunkList(), m); }
    void operator()(const ChunkWant& m) { write(to.initChunkWant(), m); }
    void operator()(const Chunk& m) { write(to.initChunk(), m); }
    void operator()(const BlobRefused& m) { write(to.initBlobRefused(), m); }
    void operator()(const BulkHello&) { to.setBulkHello(); }
    void operator()(const OperatorRequest& m) { write(to.initOperatorRequest(), m); }
    void operator()(const OperatorReply& m) { write(to.initOperatorReply(), m); }
    void operator()(const KeyChanged& m) { to.setKeyChanged(codec::wire_data(encode(m.change))); }
    void operator()(const CredentialsWithdrawn& m) { to.setCredentialsWithdrawn(codec::wire_data(encode(m.list))); }
    void operator()(const MembershipRenewed& m) { codec::write_renewal(to.initMembershipRenewed(), m.renewal); }
    void operator()(const SecAggNote& m) { write(to.initSecAggNote(), m); }
    void operator()(const SecAggLetter& m) { write(to.initSecAggLetter(), m); }
    void operator()(const MaskedReady& m) { write(to.initMaskedReady(), m); }
    void operator()(const CredentialIssued& m) { codec::write_credential(to.initCredentialIssued(), m.credential); }
  };
  std::visit(Writer{to}, message);
}

Message read_frame(Frame::Reader from, std::optional<Error>& refusal) {
  using codec::read;
  const auto at = [&](const char* name) { return Fields(name, refusal); };
  switch (from.which()) {
    case Frame::ENROL:
      return read(at("Enrol"), from.getEnrol());
    case Frame::ENROL_ACCEPTED:
      return EnrolAccepted{};
    case Frame::ENROL_REFUSED:
      return EnrolRefused{at("EnrolRefused").error("error", from.getEnrolRefused())};
    case Frame::JOIN:
      return read(at("Join"), from.getJoin());
    case Frame::JOIN_ACCEPTED:
      return read(at("JoinAccepted"), from.getJoinAccepted());
    case Frame::JOIN_REFUSED:
      return read(at("JoinRefused"), from.getJoinRefused());
    case Frame::HEARTBEAT:
      return read(at("Heartbeat"), from.getHeartbeat());
    case Frame::HEARTBEAT_ACK:
      return HeartbeatAck{};
    case Frame::PING:
      return Ping{};
    case Frame::REJOIN_REQUIRED:
      return RejoinRequired{};
    case Frame::LEAVE:
      return Leave{};
    case Frame::ROUND_OFFER:
      return read(at("RoundOffer"), from.getRoundOffer());
    case Frame::ROUND_ACCEPT:
      return RoundAccept{at("RoundAccept").round_key("key", from.getRoundAccept())};
    case Frame::ROUND_DECLINE:
      return read(at("RoundDecline"), from.getRoundDecline());
    case Frame::UPDATE_READY:
      return read(at("UpdateReady"), from.getUpdateReady());
    case Frame::ROUND_FAILED:
      return RoundFailed{at("RoundFailed").round_key("key", from.getRoundFailed().getKey()),
                         at("RoundFailed").error("error", from.getRoundFailed().getError())};
    case Frame::UPDATE_ACCEPTED:
      return UpdateAccepted{at("UpdateAccepted").round_key("key", from.getUpdateAccepted())};
    case Frame::UPDATE_REFUSED:
      return UpdateRefused{at("UpdateRefused").round_key("key", from.getUpdateRefused().getKey()),
                           at("UpdateRefused").error("error", from.getUpdateRefused().getError())};
    case Frame::ROUND_CLOSED:
      return read(at("RoundClosed"), from.getRoundClosed());
    case Frame::CHUNK_LIST_WANT:
      return read(at("ChunkListWant"), from.getChunkListWant());
    case Frame::CHUNK_LIST:
      return read(at("ChunkList"), from.getChunkList());
    case Frame::CHUNK_WANT:
      return read(at("ChunkWant"), from.getChunkWant());
    case Frame::CHUNK:
      return read(at("Chunk"), from.getChunk());
    case Frame::BLOB_REFUSED:
      return read(at("BlobRefused"), from.getBlobRefused());
    case Frame::BULK_HELLO:
      return BulkHello{};
    case Frame::OPERATOR_REQUEST:
      return read(at("OperatorRequest"), from.getOperatorRequest());
    case Frame::OPERATOR_REPLY:
      return read(at("OperatorReply"), from.getOperatorReply());
    case Frame::MEMBERSHIP_RENEWED:
      return MembershipRenewed{at("MembershipRenewed").renewal("renewal", from.getMembershipRenewed())};
    case Frame::KEY_CHANGED:
      return KeyChanged{at("KeyChanged").key_change("change", from.getKeyChanged())};
    case Frame::CREDENTIALS_WITHDRAWN:
      return CredentialsWithdrawn{at("CredentialsWithdrawn").withdrawals("list", from.getCredentialsWithdrawn())};
    case Frame::SEC_AGG_NOTE:
      return read(at("SecAggNote"), from.getSecAggNote());
    case Frame::SEC_AGG_LETTER:
      return read(at("SecAggLetter"), from.getSecAggLetter());
    case Frame::MASKED_READY:
      return read(at("MaskedReady"), from.getMaskedReady());
    case Frame::CREDENTIAL_ISSUED:
      return CredentialIssued{at("CredentialIssued").credential("credential", from.getCredentialIssued())};
  }
  at("Frame").refuse("message", std::to_string(static_cast<unsigned>(from.which())),
                     "is no message of this version: use the same version of Covey on both sides");
  return Ping{};
}

Unexpected malformed(ByteSpan frame, const std::string& rule) {
  return unexpected(ErrorCode::kInvalidMessage,
                    "frame of " + std::to_string(frame.size()) + " bytes: " + rule);
}

// One segment only, which is what encode_frame makes: a table of segments is one thing less to trust.
Result<void> check_envelope(ByteSpan frame) {
  constexpr std::size_t kHeaderBytes = 8;  // segment count - 1, words in the segment
  if (frame.size() > kBulkFrameBytesMax)
    return malformed(frame, "at most " + std::to_string(kBulkFrameBytesMax) + " are allowed");
  if (frame.size() <= kHeaderBytes || frame.size() % sizeof(capnp::word) != 0)
    return malformed(frame, "must be whole words of 8 bytes, at least two");
  std::uint32_t header[2];
  std::memcpy(header, frame.data(), sizeof header);
  if (header[0] != 0 || header[1] != frame.size() / sizeof(capnp::word) - 1)
    return malformed(frame, "must be one segment that fills it");
  return {};
}

Result<Message> decode_words(kj::ArrayPtr<const capnp::word> words) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 2 * words.size();  // several pointers to one place read as a huge message
  options.nestingLimit = 64;
  capnp::FlatArrayMessageReader reader(words, options);
  std::optional<Error> refusal;
  Message message = read_frame(reader.getRoot<Frame>(), refusal);
  if (refusal) return unexpected(*std::move(refusal));
  return message;
}

}  // namespace

Bytes encode_frame(const Message& message) {
  capnp::MallocMessageBuilder builder(first_segment_words(message));
  write_frame(builder.initRoot<Frame>(), message);
  COVEY_CHECK(builder.getSegmentsForOutput().size() == 1);
  Bytes frame(capnp::computeSerializedSizeInWords(builder) * sizeof(capnp::word));
  COVEY_CHECK(frame.size() <= (is_bulk(message) ? kBulkFrameBytesMax : kControlFrameBytesMax));
  kj::ArrayOutputStream out(kj::arrayPtr(frame.data(), frame.size()));
  capnp::writeMessage(out, builder);
  return frame;
}

Result<Message> decode_frame(ByteSpan frame) {
  COVEY_TRY_VOID(check_envelope(frame));
  // A received frame lies anywhere; Cap'n Proto reads only what is aligned to words.
  std::vector<capnp::word> words(frame.size() / sizeof(capnp::word));
  std::memcpy(words.data(), frame.data(), frame.size());
  Result<Message> message = malformed(frame, "could not be read");
  try {
    message = decode_words(kj::arrayPtr(words.data(), words.size()));
  } catch (const kj::Exception& exception) {
    return malformed(frame, codec::wire_text(exception.getDescription().cStr(), 200));
  } catch (const std::exception& exception) {
    return malformed(frame, codec::wire_text(exception.what(), 200));
  }
  if (message && !is_bulk(*message) && frame.size() > kControlFrameBytesMax)
    return malformed(
        frame, std::string(name_of(*message)) + " may have at most " + std::to_string(kControlFrameBytesMax));
  return message;
}

}  // namespace covey
