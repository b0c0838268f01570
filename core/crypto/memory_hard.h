// Argon2id (RFC 9106): a hash that costs memory, so that trying many inputs is dear.
#pragma once
#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

// 64 MiB, 3 passes, one lane; about a tenth of a second. Nothing here is secret.
// Errors: kResourceExhausted when the memory cannot be had.
using MemoryHardSalt = FixedBytes<16, struct MemoryHardSaltTag>;
Result<Digest> memory_hard_hash(ByteSpan input, const MemoryHardSalt& salt);

}  // namespace covey
