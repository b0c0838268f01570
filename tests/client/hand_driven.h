// A client driven by hand: events in, commands out, nothing in between.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {

inline const Link kCoordinator{PeerKey{{7}}, 1};
inline constexpr std::string_view kJob = R"(
name = "line"
rounds = 3
[model]
family = "logistic"
inputs = 4
classes = 3
[data]
format = "idx"
[privacy]
secure_aggregation = false
)";

inline Bytes config_bytes(std::string_view toml = kJob) {
  const std::string text = public_toml(*parse_job(toml));
  return Bytes(text.begin(), text.end());
}
inline BlobRef blob_named(std::uint8_t name, std::uint64_t size) { return {Digest{{name}}, size}; }

// Version `version` of the job's model, whose one shard is named after it.
inline ModelManifest manifest_of(std::uint8_t version, std::string_view toml = kJob) {
  const JobSpec job = *parse_job(toml);
  const std::uint64_t bytes = parameter_table(job.model).size * sizeof(float);
  return {job.model, version, {blob_named(static_cast<std::uint8_t>(100 + version), bytes)}};
}
inline RoundOffer offer_of(std::uint32_t round, std::uint32_t attempt = 1) {
  RoundOffer offer;
  offer.key = {1, round, attempt};
  offer.config = blob_ref_of(config_bytes());
  offer.model = blob_ref_of(encode(manifest_of(static_cast<std::uint8_t>(round - 1))));
  offer.deadline = 600s;
  offer.progress_end = 1;
  return offer;
}
inline Trained trained_update(std::uint8_t name) {
  return {blob_named(name, 60), 12, {6, 12, 3, 1.5}, {4, 4, 2}};
}

template <class T>
std::vector<T> all(const Commands& commands) {
  std::vector<T> found;
  for (const Command& command : commands)
    if (const T* one = std::get_if<T>(&command)) found.push_back(*one);
  return found;
}
template <class T>
T only(const Commands& commands) {
  const std::vector<T> found = all<T>(commands);
  REQUIRE(found.size() == 1);
  return found.front();
}
template <class T>
std::vector<T> all_sent(const Commands& commands) {
  std::vector<T> found;
  for (const Send& send : all<Send>(commands)) {
    CHECK(send.to == kCoordinator);
    if (const T* one = std::get_if<T>(&send.message)) found.push_back(*one);
  }
  return found;
}
template <class T>
T sent(const Commands& commands) {
  const std::vector<T> found = all_sent<T>(commands);
  REQUIRE(found.size() == 1);
  return found.front();
}
inline std::vector<std::string> logged(const Commands& commands) {
  std::vector<std::string> events;
  for (const WriteLog& log : all<WriteLog>(commands)) events.push_back(log.entry.event);
  return events;
}
inline bool has_logged(const Commands& commands, const std::string& event) {
  const auto events = logged(commands);
  return std::find(events.begin(), events.end(), event) != events.end();
}
inline std::vector<Duration> timers(const Commands& commands, std::string_view name) {
  std::vector<Duration> found;
  for (const SetTimer& timer : all<SetTimer>(commands))
    if (timer.name == name) found.push_back(timer.after);
  return found;
}
// Nothing but log lines.
inline bool does_nothing(const Commands& commands) {
  return std::all_of(commands.begin(), commands.end(),
                     [](const Command& c) { return std::holds_alternative<WriteLog>(c); });
}

class HandDriven {
 public:
  explicit HandDriven(std::vector<Row> rows = {}, Policy policy = {}) {
    ClientConfig config;
    config.coordinator = kCoordinator;
    config.capability = {"cpu", 4, std::uint64_t{1} << 30, 10};
    config.policy = std::move(policy);
    config.policy.plain_updates = true;  // what kJob asks for
    config.instance = 42;
    auto made = Client::create(std::move(config), rows);
    REQUIRE(made.has_value());
    client_ = std::move(*made);
  }
  Commands operator()(const Event& event) { return client_->handle(event, now); }
  Commands receive(Message message) { return (*this)(Received{kCoordinator, std::move(message)}); }
  Commands fire(const std::string& timer) { return (*this)(TimerFired{timer}); }

  Commands join() {
    (*this)(Started{});
    return receive(JoinAccepted{"site-1"});
  }
  // Answers the one fetch in `commands` with `content`.
  Commands fetched(const Commands& commands, Bytes content = {}) {
    const FetchBlob fetch = only<FetchBlob>(commands);
    CHECK(fetch.from == kCoordinator.peer);
    return (*this)(BlobFetched{fetch.ticket, fetch.blob, std::move(content)});
  }
  Commands done(const Commands& commands, WorkValue value) {
    return (*this)(WorkDone{only<StartWork>(commands).ticket, std::move(value)});
  }
  // Confirms every write in `commands`; gives what the last one led to.
  Commands persisted(const Commands& commands) {
    Commands result;
    for (const Persist& persist : all<Persist>(commands)) result = (*this)(Persisted{persist.ticket});
    return result;
  }
  // From the offer to the manifest being asked for.
  Commands accept(const RoundOffer& offer) {
    Commands commands = receive(offer);
    if (!all<FetchBlob>(commands).empty() && only<FetchBlob>(commands).blob == offer.config)
      commands = fetched(commands, config_bytes());
    if (!all<StartWork>(commands).empty()) commands = done(commands, DataPrepared{12, 4});
    return commands;
  }
  // From the offer to Train.
  Commands until_training(const RoundOffer& offer) {
    const auto version = static_cast<std::uint8_t>(offer.key.round - 1);
    return fetched(fetched(accept(offer), encode(manifest_of(version))));
  }
  // From the offer to UpdateReady being said.
  Commands until_delivering(const RoundOffer& offer, std::uint8_t update = 200) {
    return persisted(done(until_training(offer), trained_update(update)));
  }

  Instant now = Instant(std::chrono::hours(24 * 20'000));

 private:
  std::unique_ptr<Client> client_;
};

}  // namespace covey
