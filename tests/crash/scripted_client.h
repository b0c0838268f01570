// A client that takes part in rounds without training, with manners that a real one never has: it
// repeats itself, changes its mind, comes late, forgets what was acknowledged. All drawn from a seed.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/base/random.h"
#include "core/protocol/machine.h"

namespace covey::crash {

class ScriptedClient final : public Machine {
 public:
  enum class Manners { kUnruly, kChanging, kPlain };  // kChanging: sends another update after each acknowledgement
  // `update_values`: of one update. `blobs` outlives this.
  ScriptedClient(PeerKey coordinator, std::uint64_t seed, Manners manners, std::uint64_t update_values, BlobStore& blobs)
      : coordinator_(coordinator), random_(seed), manners_(manners), update_values_(update_values), instance_(Random(seed).next()), blobs_(blobs) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  struct Habits {          // in one round
    bool declines = false;
    bool fails = false;
    bool late = false;     // announces its update long after the deadline
    bool doubles = false;  // announces it twice at once
    bool changes = false;  // announces another one before an answer came
    bool changes_after = false;  // and after it was acknowledged
    bool repeats_after = false;  // announces the same one again after it was acknowledged
  };
  struct Part {            // in one attempt
    RoundOffer offer;
    Habits habits;
    std::set<Ticket> fetches;
    std::vector<UpdateReady> said;   // variants, the latest last
    bool accepted = false;
    bool over = false;     // refused, closed or declined
  };

  Habits habits_of(const RoundKey& key) const;
  void on(const Received& event);
  void on(const RoundOffer& offer);
  void on(const UpdateAccepted& message);
  void on_timer(const std::string& name);
  void on(const BlobFetched& event);
  void join();
  void announce(Part& part);
  UpdateReady make_update(const Part& part, std::uint64_t variant);
  void forget(Part& part);
  void send(Message message) { commands_.push_back(Send{{coordinator_, 1}, std::move(message)}); }
  void fetch(Part& part, const BlobRef& blob);

  PeerKey coordinator_;
  Random random_;
  Manners manners_;
  std::uint64_t update_values_;
  std::uint64_t instance_;
  BlobStore& blobs_;
  bool joined_ = false;
  Ticket last_ticket_ = 0;
  std::map<RoundKey, Part> parts_;
  Commands commands_;
};

}  // namespace covey::crash
