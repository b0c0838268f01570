# What the operator asks and gets.
@0xb2bb607d531d3698;
using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("covey::schema");

struct OperatorRequest {
  id @0 :UInt64;
  verb :union {
    submitJob @1 :SubmitJob;
    listJobs @2 :UInt64;        # after
    showJob @3 :ShowJob;
    showClients @4 :ShowClients;
    showConfig @5 :UInt64;      # job
    stopJob @6 :UInt64;         # job
    listNodes @7 :UInt32;       # after
    registerToken @8 :Common.Delegation;
    revokeNode @9 :Text;
    readJournal @10 :ReadJournal;
    listAudit @11 :UInt64;      # after
    listLedger @12 :UInt64;     # after
    registerRenewal @13 :Common.Renewal;
    listUnvouched @14 :Data;    # after: 32 bytes
    issueCredentials @15 :List(NodeCredential);
    prepareKey @16 :PrepareKey;
    registerKeyChange @17 :Data;  # an encoded KeyChange (core/protocol/key_change.h)
    showWithdrawals @18 :Void;
    registerWithdrawals @19 :Data;  # encoded Withdrawals (core/protocol/withdrawals.h)
  }
}

struct PrepareKey {
  controlPort @0 :UInt16;
  bulkPort @1 :UInt16;
}

struct NodeCredential {
  node @0 :Data;              # 32 bytes
  credential @1 :Common.Credential;
}

struct SubmitJob {
  nonce @0 :UInt64;
  job @1 :Common.BlobRef;
}

struct ShowJob {
  job @0 :UInt64;
  afterRound @1 :UInt32;
}

struct ShowClients {
  job @0 :UInt64;
  round @1 :UInt32;
  after @2 :UInt32;
}

struct ReadJournal {
  job @0 :UInt64;
  after @1 :UInt64;
}

struct OperatorReply {
  id @0 :UInt64;
  answer :union {
    done @1 :Text;
    error @2 :Common.Error;
    submitted @3 :UInt64;       # job
    jobs @4 :List(JobSummary);
    job @5 :JobDetail;
    clients @6 :List(ClientMetrics);
    nodes @7 :List(NodeSummary);
    journal @8 :List(JournalEntry);
    chain @9 :List(Data);       # encoded chain records (core/protocol/chain.h)
    certificates @10 :List(Data);  # encoded certificates (core/protocol/certificate.h)
    keyPrepared @11 :KeyPrepared;
    withdrawals @12 :Data;      # encoded Withdrawals; empty: none yet
  }
}

struct KeyPrepared {
  before @0 :Data;            # 32 bytes
  after @1 :Data;             # 32 bytes
  serial @2 :UInt64;
}

struct JobSummary {
  job @0 :UInt64;
  name @1 :Text;
  state @2 :UInt8;
  round @3 :UInt32;
  rounds @4 :UInt32;
  attempt @5 :UInt32;
  cohort @6 :UInt32;
  delivered @7 :UInt32;
  submitted @8 :Int64;
  ended @9 :Int64;
  text @10 :Text;
  model @11 :Common.BlobRef;
  phase @12 :UInt8;           # of secure aggregation, index into kPhases (net/codec_reply.cpp)
  members @13 :UInt32;
  maskers @14 :UInt32;
  survivors @15 :UInt32;
  secure @16 :Bool;
}

struct RoundMetrics {
  round @0 :UInt32;
  attempt @1 :UInt32;
  cohort @2 :UInt32;
  delivered @3 :UInt32;
  declined @4 :UInt32;
  examples @5 :UInt64;
  train @6 :Common.TrainStats;
  evaluation @7 :Common.EvalStats;
  updateNorm @8 :Float64;
  updateBytes @9 :UInt64;
  started @10 :Int64;
  committed @11 :Int64;
}

struct ClientMetrics {
  round @0 :UInt32;
  client @1 :Text;
  examples @2 :UInt64;
  train @3 :Common.TrainStats;
  evaluation @4 :Common.EvalStats;
}

struct NodeSummary {
  key @0 :Data;
  name @1 :Text;
  role @2 :UInt8;
  revoked @3 :Bool;
  connected @4 :Bool;
  capability @5 :Common.Capability;
  enrolled @6 :Int64;
  lastSeen @7 :Int64;
  signing @8 :Data;           # 32 bytes
  membersUntil @9 :Int64;
  renewal @10 :UInt64;        # serial, 0: never renewed
  credentialEpoch @11 :UInt32;  # 0: no live credential
}

struct JournalEntry {
  sequence @0 :UInt64;
  time @1 :Int64;
  job @2 :UInt64;
  text @3 :Text;
}

struct JobDetail {
  summary @0 :JobSummary;
  config @1 :Common.BlobRef;
  metrics @2 :List(RoundMetrics);
}
