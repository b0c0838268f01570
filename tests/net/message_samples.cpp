#include "tests/net/message_samples.h"

namespace covey {
namespace {

template <class Fixed>
Fixed filled(std::uint8_t start) {
  Fixed value;
  for (auto& byte : value.bytes) byte = start++;
  return value;
}

BlobRef blob(std::uint8_t start, std::uint64_t size) { return {filled<Digest>(start), size}; }

Instant at(int second) { return Instant(std::chrono::seconds(1'700'000'000 + second)); }

Delegation delegation() {
  return {filled<TokenId>(1), Role::kAggregator,    at(3600),             at(7200),
          filled<PeerKey>(2), filled<VerifyKey>(3), filled<Signature>(4)};
}

Renewal renewal() { return {filled<PeerKey>(5), filled<VerifyKey>(6), at(9000), 17, filled<Signature>(7)}; }

KeyChange key_change() {
  return {filled<VerifyKey>(8), {filled<PeerKey>(9), 7700, 7701}, {filled<PeerKey>(10), 7702, 7703}, 18, at(10), at(9000), filled<Signature>(11)};
}
Withdrawals withdrawals() {
  return {4, 2, {filled<VerifyKey>(20), filled<VerifyKey>(60)}, filled<Signature>(12)};
}
MemberCredential credential() { return {filled<SubjectId>(8), 3, filled<VerifyKey>(9), filled<Signature>(10)}; }

Certificate certificate() {
  return {"node-1", filled<VerifyKey>(7), filled<PeerKey>(8), delegation(), filled<Signature>(9)};
}

constexpr RoundKey kKey{7, 3, 2};
const Error kError{ErrorCode::kResourceExhausted, "disk full: 3 MiB are missing, \xc3\xa4"};
const Capability kCapability{"cpu (4 cores)", 4, std::uint64_t{8} << 30, 123.5};
const TrainStats kTrain{12.5, 640, 20, 1.25};
const EvalStats kEval{3.5, 100, 77};

JobSummary job() {
  return {7, "digits", JobState::kRunning, 3, 10, 2, 8, 5, at(1), at(2), "waits for 2 nodes", blob(9, 1000),
          "confirming", 8, 7, 6, true};
}

RoundMetrics round_metrics() {
  return {3, 2, 8, 6, 1, 3840, kTrain, kEval, 0.75, std::uint64_t{6} << 20, at(1), at(9)};
}

void add_operator_messages(std::vector<Message>& all) {
  const std::vector<OperatorVerb> verbs{SubmitJob{99, blob(1, 900)},
                                        ListJobs{4},
                                        ShowJob{7, 2},
                                        ShowClients{7, 3, 50},
                                        ShowConfig{7},
                                        StopJob{7},
                                        ListNodes{50},
                                        RegisterToken{delegation()},
                                        RevokeNode{"node-1"},
                                        ReadJournal{7, 11},
                                        ListAudit{12},
                                        ListLedger{13},
                                        RegisterRenewal{renewal()},
                                        ListUnvouched{filled<PeerKey>(14)},
                                        IssueCredentials{{{filled<PeerKey>(15), credential()}}},
                                        PrepareKey{7702, 7703},
                                        RegisterKeyChange{key_change()},
                                        ShowWithdrawals{},
                                        RegisterWithdrawals{withdrawals()}};
  const std::vector<OperatorAnswer> answers{
      Done{"stopped"},
      kError,
      Submitted{7},
      JobRows{{job(), job()}},
      JobDetail{job(), blob(4, 700), {round_metrics(), round_metrics()}},
      ClientRows{{{3, "node-1", 320, kTrain, kEval}}},
      NodeRows{{{filled<PeerKey>(5), "node-1", Role::kClient, true, true, kCapability, at(1), at(2),
                 filled<VerifyKey>(6), at(9000), 17, 3}}},
      JournalRows{{{11, at(3), 7, "job 7 submitted"}}},
      ChainRows{{{12, filled<Digest>(6), Bytes{1, 2, 3}, filled<Signature>(7)}}},
      CertificateRows{{certificate(), certificate()}},
      KeyPrepared{filled<PeerKey>(9), filled<PeerKey>(10), 17},
      WithdrawalsRow{withdrawals()},
      WithdrawalsRow{}};
  for (const auto& verb : verbs) all.push_back(OperatorRequest{5, verb});
  for (const auto& answer : answers) all.push_back(OperatorReply{5, answer});
}

}  // namespace

std::vector<Message> message_samples() {
  std::vector<Message> all{
      Enrol{certificate()},
      EnrolAccepted{},
      EnrolRefused{kError},
      Join{3, 0xabcdef0123456789, kCapability, 2},
      JoinAccepted{"node-1", 17, 3, 2500ms},
      JoinRefused{kError, 10s},
      JoinRefused{kError, 0s, instant_of_nanos(1'900'000'000'000'000'007)},
      Heartbeat{0xabcdef0123456789},
      HeartbeatAck{},
      Ping{},
      RejoinRequired{},
      Leave{},
      RoundOffer{kKey, RoundKind::kEvaluate, blob(1, 500), blob(2, 900), 90s, 0.25, 0.5},
      RoundAccept{kKey},
      RoundDecline{kKey, DeclineReason::kMemory, "needs 3 GiB"},
      UpdateReady{kKey, filled<Digest>(3), blob(4, 4096), 640, kTrain, kEval},
      UpdateReady{kKey, filled<Digest>(3), std::nullopt, 640, kTrain, kEval},
      RoundFailed{kKey, kError},
      UpdateAccepted{kKey},
      UpdateRefused{kKey, kError},
      RoundClosed{kKey, true, "committed"},
      ChunkListWant{blob(5, std::uint64_t{3} << 30), 2},
      ChunkList{filled<Digest>(5), 1, {filled<Digest>(6), filled<Digest>(7)}},
      ChunkWant{filled<Digest>(5), {0, 3, 70000}},
      Chunk{filled<Digest>(5), 3, Bytes{1, 2, 3, 4, 5}},
      BlobRefused{filled<Digest>(5), kError},
      BulkHello{},
      MembershipRenewed{renewal()},
      SecAggNote{kKey, Bytes{1, 2, 3}},
      SecAggLetter{kKey, blob(3, 300'000)},
      MaskedReady{kKey, filled<Digest>(3), blob(4, 4096), Bytes{1, 8, 9}, 1.5},
      CredentialIssued{credential()},
      KeyChanged{key_change()},
      CredentialsWithdrawn{withdrawals()}};
  add_operator_messages(all);
  return all;
}

}  // namespace covey
