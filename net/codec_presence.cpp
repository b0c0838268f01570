#include "net/codec_families.h"

namespace covey::codec {

void write(schema::Enrol::Builder to, const Enrol& message) {
  const Certificate& certificate = message.certificate;
  to.setName(wire_text(certificate.name, kNameBytesMax));
  to.setSigning(wire_data(certificate.signing.span()));
  to.setCurve(wire_data(certificate.curve.span()));
  write_delegation(to.initDelegation(), certificate.delegation);
  to.setSignature(wire_data(certificate.signature.span()));
}

Enrol read(const Fields& fields, schema::Enrol::Reader from) {
  return {Certificate{
      fields.name("name", from.getName()), fields.fixed<VerifyKey>("signing", from.getSigning()),
      fields.fixed<PeerKey>("curve", from.getCurve()), fields.delegation("delegation", from.getDelegation()),
      fields.fixed<Signature>("signature", from.getSignature())}};
}

void write(schema::Join::Builder to, const Join& message) {
  to.setProtocolVersion(message.protocol_version);
  to.setInstance(message.instance);
  write(to.initCapability(), message.capability);
  to.setProtocolVersionMin(message.protocol_version_min);
}

// Any version is let through: the coordinator refuses a foreign one in words.
Join read(const Fields& fields, schema::Join::Reader from) {
  return {from.getProtocolVersion(), from.getInstance(),
          fields.capability("capability", from.getCapability()), from.getProtocolVersionMin()};
}

void write(schema::JoinAccepted::Builder to, const JoinAccepted& message) {
  to.setName(wire_text(message.name, kNameBytesMax));
  to.setEpoch(message.epoch);
  to.setProtocolVersion(message.protocol_version);
  to.setReconnectWindow(message.reconnect_window.count());
}

JoinAccepted read(const Fields& fields, schema::JoinAccepted::Reader from) {
  return {fields.name("name", from.getName()), fields.within("epoch", from.getEpoch(), 1, kEpochMax),
          from.getProtocolVersion(), fields.duration("reconnect_window", from.getReconnectWindow())};
}

void write(schema::JoinRefused::Builder to, const JoinRefused& message) {
  write(to.initError(), message.error);
  to.setRetryAfter(message.retry_after.count());
  to.setEnded(unix_nanos(message.ended));
}

JoinRefused read(const Fields& fields, schema::JoinRefused::Reader from) {
  return {fields.error("error", from.getError()), fields.duration("retry_after", from.getRetryAfter()),
          fields.instant("ended", from.getEnded())};
}

void write(schema::Heartbeat::Builder to, const Heartbeat& message) { to.setInstance(message.instance); }

Heartbeat read(const Fields&, schema::Heartbeat::Reader from) { return {from.getInstance()}; }

}  // namespace covey::codec
