// Messages to bytes and back: Cap'n Proto (net/schema), unpacked, one message a frame. Every field
// of a received message is bounded and checked before a value exists.
#pragma once
#include "core/base/bytes.h"
#include "core/protocol/message.h"

namespace covey {

// Texts (errors, reasons, device names) that exceed their bound are cut with "...", and control
// characters in them become spaces: a long error must not end the process that reports it.
// Everything else out of bounds in our own message is our bug.
Bytes encode_frame(const Message& message);
// Hostile input, possibly misaligned. Errors: kInvalidMessage naming the field, its value and its bound.
Result<Message> decode_frame(ByteSpan frame);

}  // namespace covey
