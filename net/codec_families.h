// For the codec's .cpp files: each family of messages, written and read. A reader checks every
// field; when `fields.refused()` afterwards, its value means nothing.
#pragma once
#include "net/codec_fields.h"
#include "net/schema/bulk.capnp.h"
#include "net/schema/operator.capnp.h"
#include "net/schema/presence.capnp.h"
#include "net/schema/round.capnp.h"

namespace covey::codec {

// codec_presence.cpp
void write(schema::Enrol::Builder to, const Enrol& message);
void write(schema::Join::Builder to, const Join& message);
void write(schema::JoinAccepted::Builder to, const JoinAccepted& message);
void write(schema::JoinRefused::Builder to, const JoinRefused& message);
void write(schema::Heartbeat::Builder to, const Heartbeat& message);
Enrol read(const Fields& fields, schema::Enrol::Reader from);
Join read(const Fields& fields, schema::Join::Reader from);
JoinAccepted read(const Fields& fields, schema::JoinAccepted::Reader from);
JoinRefused read(const Fields& fields, schema::JoinRefused::Reader from);
Heartbeat read(const Fields& fields, schema::Heartbeat::Reader from);

// codec_round.cpp
void write(schema::RoundOffer::Builder to, const RoundOffer& message);
void write(schema::RoundDecline::Builder to, const RoundDecline& message);
void write(schema::UpdateReady::Builder to, const UpdateReady& message);
void write(schema::RoundError::Builder to, const RoundFailed& message);
void write(schema::RoundError::Builder to, const UpdateRefused& message);
void write(schema::RoundClosed::Builder to, const RoundClosed& message);
void write(schema::SecAggNote::Builder to, const SecAggNote& message);
void write(schema::SecAggLetter::Builder to, const SecAggLetter& message);
void write(schema::MaskedReady::Builder to, const MaskedReady& message);
RoundOffer read(const Fields& fields, schema::RoundOffer::Reader from);
RoundDecline read(const Fields& fields, schema::RoundDecline::Reader from);
UpdateReady read(const Fields& fields, schema::UpdateReady::Reader from);
RoundClosed read(const Fields& fields, schema::RoundClosed::Reader from);
SecAggNote read(const Fields& fields, schema::SecAggNote::Reader from);
SecAggLetter read(const Fields& fields, schema::SecAggLetter::Reader from);
MaskedReady read(const Fields& fields, schema::MaskedReady::Reader from);

// codec_bulk.cpp
void write(schema::ChunkListWant::Builder to, const ChunkListWant& message);
void write(schema::ChunkList::Builder to, const ChunkList& message);
void write(schema::ChunkWant::Builder to, const ChunkWant& message);
void write(schema::Chunk::Builder to, const Chunk& message);
void write(schema::BlobRefused::Builder to, const BlobRefused& message);
ChunkListWant read(const Fields& fields, schema::ChunkListWant::Reader from);
ChunkList read(const Fields& fields, schema::ChunkList::Reader from);
ChunkWant read(const Fields& fields, schema::ChunkWant::Reader from);
Chunk read(const Fields& fields, schema::Chunk::Reader from);
BlobRefused read(const Fields& fields, schema::BlobRefused::Reader from);

// codec_operator.cpp: requests; codec_reply.cpp: replies
void write(schema::OperatorRequest::Builder to, const OperatorRequest& message);
void write(schema::OperatorReply::Builder to, const OperatorReply& message);
OperatorRequest read(const Fields& fields, schema::OperatorRequest::Reader from);
OperatorReply read(const Fields& fields, schema::OperatorReply::Reader from);

inline capnp::Data::Reader wire_data(ByteSpan bytes) { return data_of<capnp::Data::Reader>(bytes); }
inline void write_blob(schema::BlobRef::Builder to, const BlobRef& blob) {
  write<capnp::Data::Reader>(to, blob);
}
inline void write_delegation(schema::Delegation::Builder to, const Delegation& delegation) {
  write<capnp::Data::Reader>(to, delegation);
}

inline void write_renewal(schema::Renewal::Builder to, const Renewal& renewal) {
  write<capnp::Data::Reader>(to, renewal);
}
inline void write_credential(schema::Credential::Builder to, const MemberCredential& credential) {
  write<capnp::Data::Reader>(to, credential);
}

}  // namespace covey::codec
