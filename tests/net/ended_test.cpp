// Who is refused because by the coordinator's clock its membership is over.
#include <doctest/doctest.h>

#include <atomic>

#include "tests/net/loopback.h"

using namespace covey;
using namespace covey::loopback;

TEST_CASE("reactor: who is refused as ended knocks on while its own membership stands; any other refusal is told and ends nobody") {
  Listener coordinator(echo_machine());
  DialConfig config = coordinator.address();
  config.refused_max = 200ms;
  std::atomic<bool> stands{true};
  config.stands = [&](Instant) { return stands.load(); };
  Dialer client(coordinator, config, [&](const Event& event) -> Commands {
    if (std::holds_alternative<Started>(event)) return {SetTimer{"again", 0ms}};
    if (std::holds_alternative<TimerFired>(event)) return {Send{coordinator.link(), Heartbeat{1}}, SetTimer{"again", 50ms}};
    return std::holds_alternative<Received>(event) ? Commands{Halt{0, ""}} : Commands{};
  });
  SUBCASE("it stands: let in once the clock is right, and the difference was said once") {
    coordinator.command(ExpelPeer{client.key(), Expulsion::kEnded});
    client.start();
    client.log.wait_for("membership_disputed");
    // Knocks come after 1 and 2 s: the last word was long enough ago for a refusal that is for good.
    client.wait_until([&, begun = client.clock.now()] { return client.clock.now() - begun > 2s; });
    coordinator.admit(client.key());
    CHECK(client.join() == 0);
    const std::string said = client.log.text();
    CHECK(said.find("membership_disputed") == said.rfind("membership_disputed"));
    CHECK(said.find("membership is over") != std::string::npos);
  }
  SUBCASE("it is over by its own clock too") {
    stands = false;
    coordinator.command(ExpelPeer{client.key(), Expulsion::kEnded});
    CHECK(client.run_result().error().code == ErrorCode::kPermissionDenied);
    CHECK(client.log.text().find("membership_disputed") == std::string::npos);
    CHECK(coordinator.received() == 0);
  }
  SUBCASE("revoked, or so someone on the wire says: it is told aloud, once, and knocks on") {
    coordinator.command(ExpelPeer{client.key()});
    client.start();
    client.log.wait_for("link_refused_long");
    CHECK(client.log.text().find("covey-client --home NEW --token @FILE --name NAME") != std::string::npos);
    CHECK(coordinator.received() == 0);
    coordinator.admit(client.key());  // the refusals were not the coordinator's
    CHECK(client.join() == 0);
    const std::string said = client.log.text();
    CHECK(said.find("link_refused_long") == said.rfind("link_refused_long"));
  }
}
