// For net's .cpp files: the sockets of a client or an operator, DEALER, which only dial out.
#pragma once
#include <deque>
#include <memory>
#include <optional>

#include "core/crypto/curve_key.h"
#include "net/limited_log.h"
#include "net/link_watch.h"
#include "net/reconnect_pace.h"
#include "net/transport.h"

namespace covey {

// One dialled port. It redials itself, at the pace that it is given: ZeroMQ would have every client of a
// lost coordinator back within the same second, and would never redial what was refused.
class DialledPort {
 public:
  struct Peer {
    const CurveKey& identity;
    PeerKey server;
    std::string endpoint;
    bool bulk = false;
  };
  // `name` is unique in the context. `pace` outlives this.
  static Result<std::unique_ptr<DialledPort>> open(ZmqContext& context, const Peer& peer, const std::string& name,
                                                   ReconnectPace& pace);
  void dial(Instant now);
  // Changes since the last call; schedules a new dial after a loss, a failure or a refusal.
  std::vector<LinkState> changes(Instant now);
  void tick(Instant now);
  // The same coordinator's other port is up: what kept this one off is over, and to wait on would hold up a round.
  void other_up(Instant now);
  std::optional<Instant> redial_at() const { return redial_at_; }
  const std::string& endpoint() const { return endpoint_; }
  bool up() const { return up_; }
  int redials() const { return redials_; }
  ZmqSocket& socket() { return socket_; }
  const ZmqSocket& socket() const { return socket_; }
  const ZmqSocket& watch() const { return watch_.socket(); }
  void close(Duration linger);

 private:
  DialledPort(ZmqSocket socket, LinkWatch watch, std::string endpoint, ReconnectPace& pace)
      : watch_(std::move(watch)), socket_(std::move(socket)), endpoint_(std::move(endpoint)), pace_(pace) {}
  LinkWatch watch_;  // before the socket: closed after it
  ZmqSocket socket_;
  std::string endpoint_;
  ReconnectPace& pace_;
  bool up_ = false;
  bool backs_off_ = false;  // the last dial failed, but was not refused
  int redials_ = -1;  // the first dial is none
  std::optional<Instant> redial_at_;
  Duration refused_for_{};
};

// While the coordinator's key changes it is served in two places. A dialler that learns of a change goes
// over at a moment of its reconnect window: it dials the new place, keeps the old link until the new one
// is up, and closes it when nothing has come on it for a while. A dialler that gets no link where it is
// tries the other place too.
class DialTransport final : public Transport {
 public:
  // `identity` outlives this. With `shared`, which then outlives this too, many diallers of one process
  // need no I/O thread each.
  static Result<std::unique_ptr<DialTransport>> dial(const DialConfig& config, const CurveKey& identity,
                                                     Clock& clock, Log& log, ZmqContext* shared = nullptr);
  ~DialTransport() override { close(Duration::zero()); }

  std::vector<const ZmqSocket*> sockets() const override;
  std::vector<Incoming> receive() override;
  void send(const Link& to, const Message& message) override;
  void send_bulk(PeerKey to, const Message& message) override;
  void offer_blobs() override { greet(); }
  void admit(PeerKey, Admission) override {}  // a dialler talks to nobody else
  void expel(PeerKey, Expulsion) override {}
  void follow(const KeyChange& change) override;
  bool admitted(PeerKey) const override { return true; }
  void tick(Instant now) override;
  Instant next_tick() const override;
  std::uint16_t control_port() const override { return place_.control_port; }
  std::uint16_t bulk_port() const override { return place_.bulk_port; }
  void close(Duration linger) override;
  // kPermissionDenied once the coordinator has said for refused_max without a break that the membership is over, and
  // DialConfig::stands says so too. Every other refusal is told (link_refused_long) and knocked at again.
  std::optional<Error> hopeless(Instant now) const override;
  // From now on says where this peer's blobs are to be asked for: at this connection. Without it the
  // connection only asks, and leaves another process of the same operator alone.
  void greet();

  // The latest state of the control link, and how many times in a row it was refused or foreign.
  LinkState state() const { return state_; }
  int rejections() const { return rejections_; }
  // How often what had been sent on the control link may have been lost: a broken connection, a new dial.
  int breaks() const { return breaks_ + control_->redials(); }
  const std::string& endpoint() const { return control_->endpoint(); }

 private:
  DialTransport(const DialConfig& config, const CurveKey& identity, Clock& clock, Log& log, ZmqContext* shared);
  struct Other {              // the place where the other key is served
    KeyPlace place;
    bool preferred = false;   // go there at `at`; otherwise only for want of a link
    Instant at;
    Instant until;            // it is served
    bool refused = false;     // it has refused our key, or has another one itself
  };
  struct Leaving {            // a port whose place was taken
    std::unique_ptr<DialledPort> port;
    bool bulk = false;
    Instant heard;
    Instant since;
  };
  static constexpr Instant kForEver = Instant::max();
  KeyPlace place_before(const KeyChange& change, Instant now);
  void look_elsewhere(Instant now);
  void watch_rising(Instant now, std::vector<Incoming>& out);
  void move_over(Instant now, std::vector<Incoming>& out);
  void part(std::unique_ptr<DialledPort> port, bool bulk, Instant now);
  void close_quiet(Instant now);
  Result<std::unique_ptr<DialledPort>> open(bool bulk, const KeyPlace& place);
  bool bulk_up() const { return bulk_ && bulk_->up(); }
  void watch(DialledPort& port, Instant now, std::vector<Incoming>& out);
  bool receive_from(DialledPort& port, bool bulk, std::vector<Incoming>& out);  // true: something came
  void note(const Message& message);
  void dial_bulk();
  void send_waiting();
  void hello(Instant now);
  void dispute(Instant now);
  void tell_refused(Instant now);

  DialConfig config_;
  const CurveKey& identity_;
  ReconnectPace pace_;
  ReconnectPace bulk_pace_;
  ReconnectPace rising_pace_;
  std::unique_ptr<ZmqContext> own_context_;
  ZmqContext* context_;
  std::unique_ptr<DialledPort> control_;
  std::unique_ptr<DialledPort> bulk_;  // null until there is something to move
  KeyPlace place_;                     // of both
  std::optional<Other> other_;
  std::unique_ptr<DialledPort> rising_;  // a control link to `other_`, tried beside control_
  std::vector<Leaving> leaving_;
  Clock& clock_;
  Log& log_;
  LimitedLog limited_;
  LinkState state_ = LinkState::kUnreachable;
  Instant linkless_since_;
  int rejections_ = 0;
  bool disputed_ = false;  // that our membership is over, and it was said
  std::optional<Instant> refused_since_;
  Instant refused_told_{};
  bool greets_ = false;
  int breaks_ = 0;
  Instant hello_at_;
  std::deque<Bytes> unsent_;  // control frames that wait for the link
  Instant send_again_at_;
};

}  // namespace covey
