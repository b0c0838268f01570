# Values that several messages share. The plain forms are in core/protocol/message.h; net/codec.cpp
# holds every bound. Absent pointers read as empty values, which the codec refuses where one is needed.
@0x852eea4e5da2d9f8;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("covey::schema");

struct BlobRef {
  id @0 :Data;         # 32 bytes
  size @1 :UInt64;     # bytes
}

struct Error {
  code @0 :UInt8;      # index into kErrorCodes (net/codec_fields.cpp)
  message @1 :Text;
}

struct RoundKey {
  job @0 :UInt64;
  round @1 :UInt32;
  attempt @2 :UInt32;
}

struct Capability {
  device @0 :Text;
  cores @1 :UInt32;
  memoryBytes @2 :UInt64;
  gflops @3 :Float64;
}

struct EvalStats {
  lossSum @0 :Float64;
  targets @1 :UInt64;
  correct @2 :UInt64;
}

struct TrainStats {
  lossSum @0 :Float64;
  targets @1 :UInt64;
  steps @2 :UInt32;
  seconds @3 :Float64;
}

struct Delegation {
  token @0 :Data;           # 16 bytes
  role @1 :UInt8;
  expires @2 :Int64;        # nanoseconds since the Unix epoch, as every instant
  oneTimeCurve @3 :Data;    # 32 bytes
  oneTimeSigning @4 :Data;  # 32 bytes
  signature @5 :Data;       # 64 bytes
  membersUntil @6 :Int64;
}

struct Credential {
  subject @0 :Data;         # 16 bytes
  epoch @1 :UInt32;         # from 1
  key @2 :Data;             # 32 bytes
  signature @3 :Data;       # 64 bytes
}

struct Renewal {
  curve @0 :Data;           # 32 bytes
  signing @1 :Data;         # 32 bytes
  validUntil @2 :Int64;
  serial @3 :UInt64;        # from 1
  signature @4 :Data;       # 64 bytes
}
