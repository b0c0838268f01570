#include <algorithm>
#include <array>

#include "core/base/check.h"
#include "net/codec.h"
#include "net/codec_families.h"

namespace covey::codec {
namespace {

using Answer = schema::OperatorReply::Answer;

// The position is the number on the wire: only ever append.
constexpr std::array kPhases{"", "joining", "sharing", "confirming", "masking", "agreeing", "unmasking", "aborting"};

std::uint8_t phase_number(const std::string& phase) {
  const auto found = std::find(kPhases.begin(), kPhases.end(), phase);
  COVEY_CHECK(found != kPhases.end());
  return static_cast<std::uint8_t>(found - kPhases.begin());
}

// ---- rows
void write_row(schema::JobSummary::Builder to, const JobSummary& job) {
  to.setJob(job.job);
  to.setName(wire_text(job.name, kNameBytesMax));
  to.setState(static_cast<std::uint8_t>(job.state));
  to.setRound(job.round);
  to.setRounds(job.rounds);
  to.setAttempt(job.attempt);
  to.setCohort(job.cohort);
  to.setDelivered(job.delivered);
  to.setSubmitted(unix_nanos(job.submitted));
  to.setEnded(unix_nanos(job.ended));
  to.setText(wire_text(job.text, kErrorTextBytesMax));
  write_blob(to.initModel(), job.model);
  to.setPhase(phase_number(job.phase));
  to.setMembers(job.members);
  to.setMaskers(job.maskers);
  to.setSurvivors(job.survivors);
  to.setSecure(job.secure);
}

JobSummary read_row(const Fields& fields, schema::JobSummary::Reader from) {
  JobSummary job;
  job.job = fields.within("job", from.getJob(), 1, kU64Max);
  job.name = fields.text("name", from.getName(), kNameBytesMax);
  job.state = fields.enumerator("state", from.getState(), JobState::kStopped);
  job.round = from.getRound();
  job.rounds = from.getRounds();
  job.attempt = from.getAttempt();
  job.cohort = from.getCohort();
  job.delivered = from.getDelivered();
  job.submitted = fields.instant("submitted", from.getSubmitted());
  job.ended = fields.instant("ended", from.getEnded());
  job.text = fields.text("text", from.getText());
  job.model = fields.blob("model", from.getModel());
  job.phase = kPhases[fields.within("phase", from.getPhase(), 0, static_cast<std::uint8_t>(kPhases.size() - 1))];
  job.members = from.getMembers();
  job.maskers = from.getMaskers();
  job.survivors = from.getSurvivors();
  job.secure = from.getSecure();
  return job;
}

void write_row(schema::RoundMetrics::Builder to, const RoundMetrics& metrics) {
  to.setRound(metrics.round);
  to.setAttempt(metrics.attempt);
  to.setCohort(metrics.cohort);
  to.setDelivered(metrics.delivered);
  to.setDeclined(metrics.declined);
  to.setExamples(metrics.examples);
  write(to.initTrain(), metrics.train);
  write(to.initEvaluation(), metrics.evaluation);
  to.setUpdateNorm(metrics.update_norm);
  to.setUpdateBytes(metrics.update_bytes);
  to.setStarted(unix_nanos(metrics.started));
  to.setCommitted(unix_nanos(metrics.committed));
}

// Sums over a cohort may exceed what one client may report, so only their form is checked.
RoundMetrics read_row(const Fields& fields, schema::RoundMetrics::Reader from) {
  RoundMetrics metrics;
  metrics.round = fields.within("round", from.getRound(), 1, kU32Max);
  metrics.attempt = from.getAttempt();
  metrics.cohort = from.getCohort();
  metrics.delivered = from.getDelivered();
  metrics.declined = from.getDeclined();
  metrics.examples = from.getExamples();
  metrics.train = fields.train_stats("train", from.getTrain(), kU64Max);
  metrics.evaluation = fields.eval_stats("evaluation", from.getEvaluation(), kU64Max);
  metrics.update_norm = fields.within("update_norm", from.getUpdateNorm(), 0, kTotalMax);
  metrics.update_bytes = from.getUpdateBytes();
  metrics.started = fields.instant("started", from.getStarted());
  metrics.committed = fields.instant("committed", from.getCommitted());
  return metrics;
}

void write_row(schema::ClientMetrics::Builder to, const ClientMetrics& metrics) {
  to.setRound(metrics.round);
  to.setClient(wire_text(metrics.client, kNameBytesMax));
  to.setExamples(metrics.examples);
  write(to.initTrain(), metrics.train);
  write(to.initEvaluation(), metrics.evaluation);
}

ClientMetrics read_row(const Fields& fields, schema::ClientMetrics::Reader from) {
  ClientMetrics metrics;
  metrics.round = fields.within("round", from.getRound(), 1, kU32Max);
  metrics.client = fields.name("client", from.getClient());
  metrics.examples = fields.within("examples", from.getExamples(), 0, kCountMax);
  metrics.train = fields.train_stats("train", from.getTrain());
  metrics.evaluation = fields.eval_stats("evaluation", from.getEvaluation());
  return metrics;
}

void write_row(schema::NodeSummary::Builder to, const NodeSummary& node) {
  to.setKey(wire_data(node.key.span()));
  to.setName(wire_text(node.name, kNameBytesMax));
  to.setRole(static_cast<std::uint8_t>(node.role));
  to.setRevoked(node.revoked);
  to.setConnected(node.connected);
  write(to.initCapability(), node.capability);
  to.setEnrolled(unix_nanos(node.enrolled));
  to.setLastSeen(unix_nanos(node.last_seen));
  to.setSigning(wire_data(node.signing.span()));
  to.setMembersUntil(unix_nanos(node.members_until));
  to.setRenewal(node.renewal);
  to.setCredentialEpoch(node.credential_epoch);
}

NodeSummary read_row(const Fields& fields, schema::NodeSummary::Reader from) {
  NodeSummary node;
  node.key = fields.fixed<PeerKey>("key", from.getKey());
  node.name = fields.name("name", from.getName());
  node.role = fields.enumerator("role", from.getRole(), kRoleLast);
  node.revoked = from.getRevoked();
  node.connected = from.getConnected();
  node.capability = fields.capability("capability", from.getCapability());
  node.enrolled = fields.instant("enrolled", from.getEnrolled());
  node.last_seen = fields.instant("last_seen", from.getLastSeen());
  node.signing = fields.fixed<VerifyKey>("signing", from.getSigning());
  node.members_until = fields.instant("members_until", from.getMembersUntil());
  node.renewal = fields.within("renewal", from.getRenewal(), 0, kRenewalSerialMax);
  node.credential_epoch = from.getCredentialEpoch();
  return node;
}

void write_row(schema::JournalEntry::Builder to, const JournalEntry& entry) {
  to.setSequence(entry.sequence);
  to.setTime(unix_nanos(entry.time));
  to.setJob(entry.job);
  to.setText(wire_text(entry.text, kErrorTextBytesMax));
}

JournalEntry read_row(const Fields& fields, schema::JournalEntry::Reader from) {
  return {from.getSequence(), fields.instant("time", from.getTime()), from.getJob(),
          fields.text("text", from.getText())};
}

// ---- lists of them
template <class List, class Row>
void write_rows(List to, const std::vector<Row>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) write_row(to[static_cast<unsigned>(i)], rows[i]);
}

unsigned row_count(std::size_t rows) {
  COVEY_CHECK(rows <= kPageRowsMax);
  return static_cast<unsigned>(rows);
}

template <class Row, class List>
std::vector<Row> read_rows(const Fields& fields, const char* name, List from) {
  fields.within(name, from.size(), 0, static_cast<std::uint32_t>(kPageRowsMax));
  std::vector<Row> rows;
  for (std::uint32_t i = 0; i < from.size() && !fields.refused(); ++i)
    rows.push_back(read_row(fields.row(name, i), from[i]));
  return rows;
}

// ---- answers
void write_answer(Answer::Builder to, const Done& answer) {
  to.setDone(wire_text(answer.text, kErrorTextBytesMax));
}
void write_answer(Answer::Builder to, const Error& answer) { write(to.initError(), answer); }
void write_answer(Answer::Builder to, const Submitted& answer) { to.setSubmitted(answer.job); }
void write_answer(Answer::Builder to, const JobRows& answer) {
  write_rows(to.initJobs(row_count(answer.rows.size())), answer.rows);
}
void write_answer(Answer::Builder to, const JobDetail& answer) {
  auto job = to.initJob();
  write_row(job.initSummary(), answer.summary);
  write_blob(job.initConfig(), answer.config);
  write_rows(job.initMetrics(row_count(answer.metrics.size())), answer.metrics);
}
void write_answer(Answer::Builder to, const ClientRows& answer) {
  write_rows(to.initClients(row_count(answer.rows.size())), answer.rows);
}
void write_answer(Answer::Builder to, const NodeRows& answer) {
  write_rows(to.initNodes(row_count(answer.rows.size())), answer.rows);
}
void write_answer(Answer::Builder to, const JournalRows& answer) {
  write_rows(to.initJournal(row_count(answer.rows.size())), answer.rows);
}
void write_answer(Answer::Builder to, const ChainRows& answer) {
  COVEY_CHECK(answer.rows.size() <= kChainPageRowsMax);
  auto chain = to.initChain(static_cast<unsigned>(answer.rows.size()));
  for (unsigned i = 0; i < chain.size(); ++i) chain.set(i, wire_data(encode(answer.rows[i])));
}
void write_answer(Answer::Builder to, const KeyPrepared& answer) {
  auto prepared = to.initKeyPrepared();
  prepared.setBefore(wire_data(answer.before.span()));
  prepared.setAfter(wire_data(answer.after.span()));
  prepared.setSerial(answer.serial);
}

KeyPrepared read_prepared(const Fields& fields, schema::KeyPrepared::Reader from) {
  return {fields.fixed<PeerKey>("before", from.getBefore()), fields.fixed<PeerKey>("after", from.getAfter()),
          fields.within("serial", from.getSerial(), 0, kKeyChangeSerialMax)};
}

void write_answer(Answer::Builder to, const WithdrawalsRow& answer) {
  to.setWithdrawals(wire_data(answer.list.number == 0 ? Bytes{} : encode(answer.list)));
}

void write_answer(Answer::Builder to, const CertificateRows& answer) {
  COVEY_CHECK(answer.rows.size() <= kVouchPageRowsMax);
  auto rows = to.initCertificates(static_cast<unsigned>(answer.rows.size()));
  for (unsigned i = 0; i < rows.size(); ++i) rows.set(i, wire_data(encode(answer.rows[i])));
}

CertificateRows read_certificates(const Fields& fields, capnp::List<capnp::Data>::Reader from) {
  fields.within("certificates", from.size(), 0, static_cast<std::uint32_t>(kVouchPageRowsMax));
  CertificateRows rows;
  for (std::uint32_t i = 0; i < from.size() && !fields.refused(); ++i) {
    auto certificate = decode_certificate(span_of(from[i]));
    if (!certificate) {
      fields.refuse("certificates", "certificate " + std::to_string(i), certificate.error().message);
      break;
    }
    rows.rows.push_back(std::move(*certificate));
  }
  return rows;
}

ChainRows read_chain(const Fields& fields, capnp::List<capnp::Data>::Reader from) {
  fields.within("chain", from.size(), 0, static_cast<std::uint32_t>(kChainPageRowsMax));
  ChainRows rows;
  for (std::uint32_t i = 0; i < from.size() && !fields.refused(); ++i) {
    auto record = decode_chain_record(span_of(from[i]));
    if (!record) {
      fields.refuse("chain", "record " + std::to_string(i), record.error().message);
      break;
    }
    rows.rows.push_back(std::move(*record));
  }
  return rows;
}

JobDetail read_detail(const Fields& fields, schema::JobDetail::Reader from) {
  return {read_row(fields.in("summary"), from.getSummary()),
          fields.blob("config", from.getConfig(), kJobTomlBytesMax),
          read_rows<RoundMetrics>(fields, "metrics", from.getMetrics())};
}

OperatorAnswer read_answer(const Fields& fields, Answer::Reader from) {
  switch (from.which()) {
    case Answer::DONE:
      return Done{fields.text("done", from.getDone())};
    case Answer::ERROR:
      return fields.error("error", from.getError());
    case Answer::SUBMITTED:
      return Submitted{fields.within("submitted", from.getSubmitted(), 1, kU64Max)};
    case Answer::JOBS:
      return JobRows{read_rows<JobSummary>(fields, "jobs", from.getJobs())};
    case Answer::JOB:
      return read_detail(fields.in("job"), from.getJob());
    case Answer::CLIENTS:
      return ClientRows{read_rows<ClientMetrics>(fields, "clients", from.getClients())};
    case Answer::NODES:
      return NodeRows{read_rows<NodeSummary>(fields, "nodes", from.getNodes())};
    case Answer::JOURNAL:
      return JournalRows{read_rows<JournalEntry>(fields, "journal", from.getJournal())};
    case Answer::CHAIN:
      return read_chain(fields, from.getChain());
    case Answer::KEY_PREPARED:
      return read_prepared(fields.in("key_prepared"), from.getKeyPrepared());
    case Answer::CERTIFICATES:
      return read_certificates(fields, from.getCertificates());
    case Answer::WITHDRAWALS:
      return WithdrawalsRow{from.getWithdrawals().size() == 0 ? Withdrawals{} : fields.withdrawals("withdrawals", from.getWithdrawals())};
  }
  fields.refuse("answer", std::to_string(static_cast<unsigned>(from.which())),
                "is no answer of this version: use the same version of Covey on both sides");
  return Done{};
}

}  // namespace

void write(schema::OperatorReply::Builder to, const OperatorReply& message) {
  to.setId(message.id);
  std::visit([&](const auto& answer) { write_answer(to.getAnswer(), answer); }, message.answer);
}

OperatorReply read(const Fields& fields, schema::OperatorReply::Reader from) {
  return {from.getId(), read_answer(fields, from.getAnswer())};
}

}  // namespace covey::codec
