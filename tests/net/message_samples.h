// One message of every kind, and of every operator's verb and answer, with no field at its default.
#pragma once
#include <vector>

#include "core/protocol/message.h"

namespace covey {

std::vector<Message> message_samples();

}  // namespace covey
