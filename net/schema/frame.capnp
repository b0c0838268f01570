# One frame on the wire: one message, unpacked, in one segment. Alternatives are only ever added.
@0xd77499162cccef39;
using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
using Presence = import "presence.capnp";
using Round = import "round.capnp";
using Bulk = import "bulk.capnp";
using Operator = import "operator.capnp";
$Cxx.namespace("covey::schema");

struct Frame {
  union {
    enrol @0 :Presence.Enrol;
    enrolAccepted @1 :Void;
    enrolRefused @2 :Common.Error;
    join @3 :Presence.Join;
    joinAccepted @4 :Presence.JoinAccepted;
    joinRefused @5 :Presence.JoinRefused;
    heartbeat @6 :Presence.Heartbeat;
    heartbeatAck @7 :Void;
    ping @8 :Void;
    rejoinRequired @9 :Void;
    leave @10 :Void;
    roundOffer @11 :Round.RoundOffer;
    roundAccept @12 :Common.RoundKey;
    roundDecline @13 :Round.RoundDecline;
    updateReady @14 :Round.UpdateReady;
    roundFailed @15 :Round.RoundError;
    updateAccepted @16 :Common.RoundKey;
    updateRefused @17 :Round.RoundError;
    roundClosed @18 :Round.RoundClosed;
    chunkListWant @19 :Bulk.ChunkListWant;
    chunkList @20 :Bulk.ChunkList;
    chunkWant @21 :Bulk.ChunkWant;
    chunk @22 :Bulk.Chunk;
    blobRefused @23 :Bulk.BlobRefused;
    bulkHello @24 :Void;
    operatorRequest @25 :Operator.OperatorRequest;
    operatorReply @26 :Operator.OperatorReply;
    membershipRenewed @27 :Common.Renewal;
    secAggNote @28 :Round.SecAggNote;
    secAggLetter @29 :Round.SecAggLetter;
    maskedReady @30 :Round.MaskedReady;
    credentialIssued @31 :Common.Credential;
    keyChanged @32 :Data;       # an encoded KeyChange (core/protocol/key_change.h)
    credentialsWithdrawn @33 :Data;  # encoded Withdrawals (core/protocol/withdrawals.h)
  }
}
