// What every decoder of a durable record promises: it gives back what was written, or says kCorrupted.
#pragma once
#include "core/base/bytes.h"
#include "core/base/check.h"

namespace covey::fuzz {

template <class Value>
void written_the_same(const Result<Value>& value, ByteSpan input) {
  if (value)
    COVEY_CHECK(encode(*value) == Bytes(input.begin(), input.end()));
  else
    COVEY_CHECK(value.error().code == ErrorCode::kCorrupted);
}

}  // namespace covey::fuzz
