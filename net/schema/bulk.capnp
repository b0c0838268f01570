# Blobs by chunks; these travel on the bulk port.
@0xa729c95c9f8fb294;
using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("covey::schema");

struct ChunkListWant {
  blob @0 :Common.BlobRef;
  page @1 :UInt32;
}

struct ChunkList {
  blob @0 :Data;
  page @1 :UInt32;
  hashes @2 :Data;            # 32 bytes each
}

struct ChunkWant {
  blob @0 :Data;
  indices @1 :List(UInt32);
}

struct Chunk {
  blob @0 :Data;
  index @1 :UInt32;
  bytes @2 :Data;
}

struct BlobRefused {
  blob @0 :Data;
  error @1 :Common.Error;
}
