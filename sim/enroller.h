// Enrols one late node: knocks with the one-time key of its join token until it is let in.
#pragma once
#include "core/protocol/machine.h"

namespace covey {

class Enroller final : public Machine {
 public:
  Enroller(PeerKey coordinator, Certificate certificate) : coordinator_{coordinator, 1}, certificate_(std::move(certificate)) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  Link coordinator_;
  Certificate certificate_;
};

}  // namespace covey
