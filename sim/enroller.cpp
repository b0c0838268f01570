#include "sim/enroller.h"

namespace covey {
namespace {

constexpr Duration kKnock = std::chrono::seconds(2);

}  // namespace

Commands Enroller::handle(const Event& event, Instant) {
  if (std::holds_alternative<Started>(event) || std::holds_alternative<TimerFired>(event))
    return {Send{coordinator_, Enrol{certificate_}}, SetTimer{"knock", kKnock}};
  const auto* received = std::get_if<Received>(&event);
  if (received != nullptr && std::holds_alternative<EnrolAccepted>(received->message)) return {Halt{0, "enrolled"}};
  return {};
}

}  // namespace covey
