// Any bytes as a frame from a peer. What is let in can be encoded and decoded again, to the same value.
#include "net/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::Result<covey::Message> message = covey::decode_frame({data, size});
  if (!message) {
    COVEY_CHECK(message.error().code == covey::ErrorCode::kInvalidMessage);
    return 0;
  }
  const covey::Result<covey::Message> again = covey::decode_frame(covey::encode_frame(*message));
  COVEY_CHECK(again.has_value());
  COVEY_CHECK(again->index() == message->index());
  return 0;
}
