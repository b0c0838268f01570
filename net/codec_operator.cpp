#include "net/codec_families.h"

namespace covey::codec {
namespace {

using Verb = schema::OperatorRequest::Verb;

void write_verb(Verb::Builder to, const SubmitJob& verb) {
  auto submit = to.initSubmitJob();
  submit.setNonce(verb.nonce);
  write_blob(submit.initJob(), verb.job);
}
void write_verb(Verb::Builder to, const ListJobs& verb) { to.setListJobs(verb.after); }
void write_verb(Verb::Builder to, const ShowJob& verb) {
  auto show = to.initShowJob();
  show.setJob(verb.job);
  show.setAfterRound(verb.after_round);
}
void write_verb(Verb::Builder to, const ShowClients& verb) {
  auto show = to.initShowClients();
  show.setJob(verb.job);
  show.setRound(verb.round);
  show.setAfter(verb.after);
}
void write_verb(Verb::Builder to, const ShowConfig& verb) { to.setShowConfig(verb.job); }
void write_verb(Verb::Builder to, const StopJob& verb) { to.setStopJob(verb.job); }
void write_verb(Verb::Builder to, const ListNodes& verb) { to.setListNodes(verb.after); }
void write_verb(Verb::Builder to, const RegisterToken& verb) {
  write_delegation(to.initRegisterToken(), verb.delegation);
}
void write_verb(Verb::Builder to, const RevokeNode& verb) {
  to.setRevokeNode(wire_text(verb.node, kNameBytesMax));
}
void write_verb(Verb::Builder to, const ReadJournal& verb) {
  auto journal = to.initReadJournal();
  journal.setJob(verb.job);
  journal.setAfter(verb.after);
}

void write_verb(Verb::Builder to, const ListAudit& verb) { to.setListAudit(verb.after); }
void write_verb(Verb::Builder to, const ListLedger& verb) { to.setListLedger(verb.after); }
void write_verb(Verb::Builder to, const RegisterRenewal& verb) {
  write_renewal(to.initRegisterRenewal(), verb.renewal);
}
void write_verb(Verb::Builder to, const PrepareKey& verb) {
  auto prepare = to.initPrepareKey();
  prepare.setControlPort(verb.control_port);
  prepare.setBulkPort(verb.bulk_port);
}
void write_verb(Verb::Builder to, const RegisterKeyChange& verb) {
  to.setRegisterKeyChange(wire_data(encode(verb.change)));
}
void write_verb(Verb::Builder to, const ShowWithdrawals&) { to.setShowWithdrawals(); }
void write_verb(Verb::Builder to, const RegisterWithdrawals& verb) {
  to.setRegisterWithdrawals(wire_data(encode(verb.list)));
}
void write_verb(Verb::Builder to, const ListUnvouched& verb) { to.setListUnvouched(wire_data(verb.after.span())); }
void write_verb(Verb::Builder to, const IssueCredentials& verb) {
  COVEY_CHECK(verb.credentials.size() <= kVouchPageRowsMax);
  auto rows = to.initIssueCredentials(static_cast<unsigned>(verb.credentials.size()));
  for (unsigned i = 0; i < rows.size(); ++i) {
    rows[i].setNode(wire_data(verb.credentials[i].node.span()));
    write_credential(rows[i].initCredential(), verb.credentials[i].credential);
  }
}

SubmitJob submit_job(const Fields& fields, schema::SubmitJob::Reader from) {
  return {from.getNonce(), fields.blob("job", from.getJob(), kJobTomlBytesMax)};
}

ShowClients show_clients(const Fields& fields, schema::ShowClients::Reader from) {
  return {fields.within("job", from.getJob(), 1, kU64Max),
          fields.within("round", from.getRound(), 1, kU32Max), from.getAfter()};
}

IssueCredentials issue_credentials(const Fields& fields, capnp::List<schema::NodeCredential>::Reader from) {
  fields.within("issue_credentials", from.size(), 1, static_cast<std::uint32_t>(kVouchPageRowsMax));
  IssueCredentials verb;
  for (std::uint32_t i = 0; i < from.size() && !fields.refused(); ++i) {
    const Fields row = fields.row("issue_credentials", i);
    verb.credentials.push_back({row.fixed<PeerKey>("node", from[i].getNode()), row.credential("credential", from[i].getCredential())});
  }
  return verb;
}

OperatorVerb read_verb(const Fields& fields, Verb::Reader from) {
  switch (from.which()) {
    case Verb::SUBMIT_JOB:
      return submit_job(fields.in("submit_job"), from.getSubmitJob());
    case Verb::LIST_JOBS:
      return ListJobs{from.getListJobs()};
    case Verb::SHOW_JOB:
      return ShowJob{fields.within("show_job", from.getShowJob().getJob(), 1, kU64Max),
                     from.getShowJob().getAfterRound()};
    case Verb::SHOW_CLIENTS:
      return show_clients(fields.in("show_clients"), from.getShowClients());
    case Verb::SHOW_CONFIG:
      return ShowConfig{fields.within("show_config", from.getShowConfig(), 1, kU64Max)};
    case Verb::STOP_JOB:
      return StopJob{fields.within("stop_job", from.getStopJob(), 1, kU64Max)};
    case Verb::LIST_NODES:
      return ListNodes{from.getListNodes()};
    case Verb::REGISTER_TOKEN:
      return RegisterToken{fields.delegation("register_token", from.getRegisterToken())};
    case Verb::REVOKE_NODE:
      return RevokeNode{fields.name("revoke_node", from.getRevokeNode())};
    case Verb::READ_JOURNAL:
      return ReadJournal{from.getReadJournal().getJob(), from.getReadJournal().getAfter()};
    case Verb::LIST_AUDIT:
      return ListAudit{from.getListAudit()};
    case Verb::LIST_LEDGER:
      return ListLedger{from.getListLedger()};
    case Verb::REGISTER_RENEWAL:
      return RegisterRenewal{fields.renewal("register_renewal", from.getRegisterRenewal())};
    case Verb::PREPARE_KEY:
      return PrepareKey{from.getPrepareKey().getControlPort(), from.getPrepareKey().getBulkPort()};
    case Verb::REGISTER_KEY_CHANGE:
      return RegisterKeyChange{fields.key_change("register_key_change", from.getRegisterKeyChange())};
    case Verb::SHOW_WITHDRAWALS:
      return ShowWithdrawals{};
    case Verb::REGISTER_WITHDRAWALS:
      return RegisterWithdrawals{fields.withdrawals("register_withdrawals", from.getRegisterWithdrawals())};
    case Verb::LIST_UNVOUCHED:
      return ListUnvouched{fields.fixed<PeerKey>("list_unvouched", from.getListUnvouched())};
    case Verb::ISSUE_CREDENTIALS:
      return issue_credentials(fields, from.getIssueCredentials());
  }
  fields.refuse("verb", std::to_string(static_cast<unsigned>(from.which())),
                "is no verb of this version: use the same version of Covey on both sides");
  return ListJobs{};
}

}  // namespace

void write(schema::OperatorRequest::Builder to, const OperatorRequest& message) {
  to.setId(message.id);
  std::visit([&](const auto& verb) { write_verb(to.getVerb(), verb); }, message.verb);
}

OperatorRequest read(const Fields& fields, schema::OperatorRequest::Reader from) {
  return {from.getId(), read_verb(fields, from.getVerb())};
}

}  // namespace covey::codec
