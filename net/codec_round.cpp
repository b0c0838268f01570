#include "net/codec_families.h"

namespace covey::codec {

void write(schema::RoundOffer::Builder to, const RoundOffer& message) {
  write(to.initKey(), message.key);
  to.setKind(static_cast<std::uint8_t>(message.kind));
  write_blob(to.initConfig(), message.config);
  write_blob(to.initModel(), message.model);
  to.setDeadline(message.deadline.count());
  to.setProgressBegin(message.progress_begin);
  to.setProgressEnd(message.progress_end);
}

RoundOffer read(const Fields& fields, schema::RoundOffer::Reader from) {
  RoundOffer message;
  message.key = fields.round_key("key", from.getKey());
  message.kind = fields.enumerator("kind", from.getKind(), RoundKind::kEvaluate);
  message.config = fields.blob("config", from.getConfig(), kJobTomlBytesMax);
  message.model = fields.blob("model", from.getModel());
  message.deadline = fields.duration("deadline", from.getDeadline());
  message.progress_begin = fields.within("progress_begin", from.getProgressBegin(), 0, 1);
  message.progress_end = fields.within("progress_end", from.getProgressEnd(), message.progress_begin, 1);
  return message;
}

void write(schema::RoundDecline::Builder to, const RoundDecline& message) {
  write(to.initKey(), message.key);
  to.setReason(static_cast<std::uint8_t>(message.reason));
  to.setText(wire_text(message.text, kErrorTextBytesMax));
}

RoundDecline read(const Fields& fields, schema::RoundDecline::Reader from) {
  return {fields.round_key("key", from.getKey()),
          fields.enumerator("reason", from.getReason(), DeclineReason::kInternal),
          fields.text("text", from.getText())};
}

void write(schema::UpdateReady::Builder to, const UpdateReady& message) {
  write(to.initKey(), message.key);
  to.setModel(wire_data(message.model.span()));
  if (message.update) write_blob(to.initUpdate(), *message.update);
  to.setExamples(message.examples);
  write(to.initTrain(), message.train);
  write(to.initEvaluation(), message.evaluation);
}

UpdateReady read(const Fields& fields, schema::UpdateReady::Reader from) {
  UpdateReady message;
  message.key = fields.round_key("key", from.getKey());
  message.model = fields.fixed<Digest>("model", from.getModel());
  message.examples = fields.within("examples", from.getExamples(), 0, kCountMax);
  if (from.hasUpdate()) {
    message.update = fields.blob("update", from.getUpdate());
    const std::uint64_t size = message.update->size;
    if (size == 0 || size % 4 != 0)
      fields.refuse("update.size", std::to_string(size), "must be a positive multiple of 4 bytes");
    if (message.examples == 0)
      fields.refuse("examples", "0", "an update is weighted by at least one example");
  }
  message.train = fields.train_stats("train", from.getTrain());
  message.evaluation = fields.eval_stats("evaluation", from.getEvaluation());
  return message;
}

void write(schema::RoundError::Builder to, const RoundFailed& message) {
  write(to.initKey(), message.key);
  write(to.initError(), message.error);
}

void write(schema::RoundError::Builder to, const UpdateRefused& message) {
  write(to.initKey(), message.key);
  write(to.initError(), message.error);
}

void write(schema::RoundClosed::Builder to, const RoundClosed& message) {
  write(to.initKey(), message.key);
  to.setCommitted(message.committed);
  to.setText(wire_text(message.text, kErrorTextBytesMax));
}

RoundClosed read(const Fields& fields, schema::RoundClosed::Reader from) {
  return {fields.round_key("key", from.getKey()), from.getCommitted(), fields.text("text", from.getText())};
}

void write(schema::SecAggNote::Builder to, const SecAggNote& message) {
  write(to.initKey(), message.key);
  to.setContent(wire_data(message.content));
}

SecAggNote read(const Fields& fields, schema::SecAggNote::Reader from) {
  return {fields.round_key("key", from.getKey()), fields.bytes("content", from.getContent(), kSecAggNoteBytesMax)};
}

void write(schema::SecAggLetter::Builder to, const SecAggLetter& message) {
  write(to.initKey(), message.key);
  write_blob(to.initContent(), message.content);
}

SecAggLetter read(const Fields& fields, schema::SecAggLetter::Reader from) {
  SecAggLetter message{fields.round_key("key", from.getKey()),
                       fields.blob("content", from.getContent(), kSecAggLetterBytesMax)};
  if (message.content.size == 0) fields.refuse("content.size", "0", "must be at least 1 byte");
  return message;
}

void write(schema::MaskedReady::Builder to, const MaskedReady& message) {
  write(to.initKey(), message.key);
  to.setModel(wire_data(message.model.span()));
  write_blob(to.initVectors(), message.vectors);
  to.setNote(wire_data(message.note));
  to.setSeconds(message.seconds);
}

MaskedReady read(const Fields& fields, schema::MaskedReady::Reader from) {
  MaskedReady message;
  message.key = fields.round_key("key", from.getKey());
  message.model = fields.fixed<Digest>("model", from.getModel());
  message.vectors = fields.blob("vectors", from.getVectors());
  const std::uint64_t size = message.vectors.size;
  if (size == 0 || size % 8 != 0)
    fields.refuse("vectors.size", std::to_string(size), "must be a positive multiple of 8 bytes");
  message.note = fields.bytes("note", from.getNote(), kMaskedNoteBytesMax);
  message.seconds = fields.within("seconds", from.getSeconds(), 0, kSecondsMax);
  return message;
}

}  // namespace covey::codec
