# One round between the coordinator and a member of its cohort.
@0xf4476564828a4b96;
using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("covey::schema");

struct RoundOffer {
  key @0 :Common.RoundKey;
  kind @1 :UInt8;
  config @2 :Common.BlobRef;
  model @3 :Common.BlobRef;
  deadline @4 :Int64;
  progressBegin @5 :Float64;
  progressEnd @6 :Float64;
}

struct RoundDecline {
  key @0 :Common.RoundKey;
  reason @1 :UInt8;
  text @2 :Text;
}

struct UpdateReady {
  key @0 :Common.RoundKey;
  model @1 :Data;             # 32 bytes
  update @2 :Common.BlobRef;  # absent in an evaluation round
  examples @3 :UInt64;
  train @4 :Common.TrainStats;
  evaluation @5 :Common.EvalStats;
}

struct RoundError {           # RoundFailed, UpdateRefused
  key @0 :Common.RoundKey;
  error @1 :Common.Error;
}

struct RoundClosed {
  key @0 :Common.RoundKey;
  committed @1 :Bool;
  text @2 :Text;
}

struct SecAggNote {
  key @0 :Common.RoundKey;
  content @1 :Data;           # 1 to 12,288 bytes
}

struct SecAggLetter {
  key @0 :Common.RoundKey;
  content @1 :Common.BlobRef;
}

struct MaskedReady {
  key @0 :Common.RoundKey;
  model @1 :Data;             # 32 bytes
  vectors @2 :Common.BlobRef;
  note @3 :Data;              # 1 to 1,024 bytes
  seconds @4 :Float64;
}
