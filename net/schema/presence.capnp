# Enrolment and presence.
@0xbbc4e068ce7263ae;
using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("covey::schema");

struct Enrol {
  name @0 :Text;
  signing @1 :Data;         # 32 bytes
  curve @2 :Data;           # 32 bytes
  delegation @3 :Common.Delegation;
  signature @4 :Data;       # 64 bytes
}

struct Join {
  protocolVersion @0 :UInt32;
  instance @1 :UInt64;
  capability @2 :Common.Capability;
  protocolVersionMin @3 :UInt32;  # 0: protocolVersion alone
}

struct JoinAccepted {
  name @0 :Text;
  epoch @1 :UInt64;               # from 1
  protocolVersion @2 :UInt32;     # 0: 1
  reconnectWindow @3 :Int64;      # nanoseconds
}

struct JoinRefused {
  error @0 :Common.Error;
  retryAfter @1 :Int64;     # nanoseconds, as every duration
  ended @2 :Int64;          # nanoseconds since 1970: the end of the membership, if it is refused for that; 0: it is not
}

struct Heartbeat {
  instance @0 :UInt64;
}
