// The commands of one handled event, gathered by the parts of a Client in the order given. The
// namespace sets these parts apart from the coordinator's of the same name.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/protocol/limits.h"
#include "core/protocol/machine.h"

namespace covey::client {

class ClientOutbox {
 public:
  explicit ClientOutbox(Link coordinator) : coordinator_(coordinator) {}

  const Link& coordinator() const { return coordinator_; }
  Ticket ticket() { return ++last_ticket_; }
  void add(Command command) { commands_.push_back(std::move(command)); }
  void send(Message message) { add(Send{coordinator_, std::move(message)}); }
  void log(LogLevel level, std::string event, std::vector<LogField> fields = {}) {
    add(WriteLog{LogEntry{level, std::move(event), std::move(fields)}});
  }
  Commands take() { return std::exchange(commands_, {}); }

 private:
  Link coordinator_;
  Commands commands_;
  Ticket last_ticket_ = 0;
};

// `text` as it may travel: at most kErrorTextBytesMax, cut between characters (UTF-8).
inline std::string bounded_text(std::string text) {
  if (text.size() <= kErrorTextBytesMax) return text;
  std::size_t end = kErrorTextBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text;
}
inline Error bounded(Error error) {
  error.message = bounded_text(std::move(error.message));
  return error;
}

// `error` as it may be told to others: what names this site's files or its machine stays in its own log.
inline Error told(const Error& error) {
  const bool of_the_round = error.code == ErrorCode::kInvalidUpdate || error.code == ErrorCode::kInvalidMessage ||
                            error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kUnsupported ||
                            error.code == ErrorCode::kResourceExhausted;
  if (of_the_round && error.message.find('/') == std::string::npos) return bounded(error);
  return {error.code, std::string("a failure at this site (") + name_of(error.code) + "); this client's log says why"};
}

inline std::vector<LogField> fields_of(const RoundKey& key) {
  return {{"job", key.job}, {"round", key.round}, {"attempt", key.attempt}};
}
inline std::vector<LogField> fields_of(const RoundKey& key, std::vector<LogField> more) {
  std::vector<LogField> fields = fields_of(key);
  for (LogField& field : more) fields.push_back(std::move(field));
  return fields;
}
inline std::vector<LogField> fields_of(const RoundKey& key, const Error& error) {
  return fields_of(key, {{"error", name_of(error.code)}, {"text", error.message}});
}

}  // namespace covey::client
