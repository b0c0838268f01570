// Who may take part, until when, and who is there: tokens, certificates, renewals, nodes, their links
// and liveness.
// Every change is persisted here; what a change means for running rounds is told by RegistryNews.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/journal.h"
#include "coordinator/outbox.h"
#include "coordinator/record_book.h"
#include "coordinator/tables.h"
#include "core/protocol/version.h"

namespace covey {

// At most `most` uses in each window of kBudgetWindow: what one peer can make us do.
class Budget {
 public:
  explicit Budget(std::uint32_t most) : most_(most) {}
  bool spend(Instant now);         // false: nothing is left in this window

 private:
  std::uint32_t most_;
  std::uint32_t used_ = 0;
  Instant since_;
};
inline constexpr Duration kBudgetWindow = std::chrono::seconds(10);
inline constexpr std::uint32_t kJoinsPerWindow = 20;            // of one node, repetitions not counted
inline constexpr std::uint32_t kStrangerRefusalsPerWindow = 20; // logged, of all who are not enrolled

struct Node {
  NodeSummary summary;             // `connected` is kept true to `link`
  Certificate certificate;
  std::optional<Renewal> renewal;  // the newest
  std::optional<MemberCredential> credential;  // the last one issued; ends with a revocation
  bool ended = false;              // its membership was over at the last tick: it is not admitted
  std::optional<Link> link;        // the live one
  std::uint64_t instance = 0;      // of the process behind `link`
  Instant heard;                   // last sign of life
  struct Newcomer {                // another process that claims this identity while we ping the first
    Link link;
    Join join;
  };
  std::optional<Newcomer> newcomer;
  JobId engaged = 0;               // the job whose round this node works on, 0: free
  Budget joins{kJoinsPerWindow};                    // that cost something: each is logged and told to the jobs
  Budget refusals{1};                 // of its messages that are logged
  bool unsaved = false;            // last_seen or its capability changed; the next tick persists it

  Instant members_until() const { return membership_end(certificate, renewal); }};

struct RegistryNews {              // what happened to nodes in one event
  std::vector<PeerKey> joined;
  std::vector<PeerKey> relinked;   // the same process over a new connection: what was on its way may be lost
  std::vector<PeerKey> left;       // said goodbye, or its membership ended: not coming back for this round
  std::vector<PeerKey> lost;       // silent for kLinkTimeout: may come back
  std::vector<PeerKey> revoked;
};

class Registry {
 public:
  struct Config {
    VerifyKey authority;
    std::uint32_t nodes_max = 0;
    ProtocolRange protocol;
  };
  Registry(Config config, Outbox& out, Journal& journal, RecordBook& records);  // all outlive this

  // ---- from rows, in key order (cert/ comes before credential/, node/ and renewal/). Errors: kCorrupted.
  Result<void> load_certificate(const PeerKey& key, ByteSpan value);
  Result<void> load_node(const PeerKey& key, ByteSpan value);
  Result<void> load_renewal(const PeerKey& key, ByteSpan value);
  Result<void> load_credential(const PeerKey& key, ByteSpan value);
  Result<void> load_withdrawals(ByteSpan value);
  Result<void> load_token(ByteSpan value);
  Result<void> check_loaded() const;

  void start(Instant now);         // admits all members and all tokens that may still enrol
  void tick(Instant now);          // silence and expiry; the machine's timer calls it
  bool timer_fired(const std::string& name, Instant now);

  void enrol(const Link& from, const Enrol& message, Instant now);
  // From our own folder; what is known already, or older: nothing.
  void enrol_given(const Certificate& certificate, Instant now);
  void renew_given(const Renewal& renewal, Instant now);
  void join(const Link& from, const Join& message, Instant now);
  void heartbeat(const Link& from, const Heartbeat& message, Instant now);
  void leave(const Link& from, Instant now);
  RegistryNews take_news() { return std::exchange(news_, {}); }

  // ---- operator verbs
  Result<std::string> register_token(const Delegation& delegation, const PeerKey& by, Instant now);
  Result<std::string> register_renewal(const Renewal& renewal, const PeerKey& by, Instant now);
  // All of them, or none and why.
  Result<std::string> issue(const std::vector<NodeCredential>& credentials, const PeerKey& by, Instant now);
  // The list that counts from now on. Errors: as verify() and follows(); kAlreadyExists names the one that is held.
  Result<std::string> register_withdrawals(const Withdrawals& list, const PeerKey& by, Instant now);
  Result<std::string> revoke(const std::string& name_or_key, const PeerKey& by, Instant now);
  std::vector<NodeSummary> page(std::uint32_t after) const;  // at most kPageRowsMax, by key
  // Of the clients that are members now and have no live credential: at most kVouchPageRowsMax, by key.
  std::vector<Certificate> unvouched(const PeerKey& after) const;

  bool may_log_refusal(const PeerKey& peer, Instant now);   // one per node and window; few of strangers

  // ---- look-ups
  Node* find(const PeerKey& peer);          // enrolled and not revoked, or null; one that ended has no link
  // The member that may do what `role` does, at this moment. Errors: kPermissionDenied, with why
  // (unknown, revoked, ended, another role) and the remedy.
  Result<Node*> authorise(const PeerKey& peer, Role role, Instant now);
  const std::map<PeerKey, Node>& nodes() const { return nodes_; }
  std::string name_of(const PeerKey& peer) const;  // for logs: its name, or a short key
  const Withdrawals& withdrawals() const { return withdrawals_; }  // number 0: none yet
  // Whether the members of a secure aggregation would accept it as one of them: it has a credential of the epoch that
  // counts, and neither the authority nor a revocation withdrew it.
  bool vouched(const Node& node) const;
  // Before an offer of a round that aggregates securely, so that what was lost on its way is there again.
  void tell_credential(const Node& node);
  // Those of `nodes` with a live credential, in their order: whom a job with secure aggregation may select.
  std::vector<PeerKey> vouched_of(const std::vector<PeerKey>& nodes) const;

 private:
  struct Token {
    TokenRow row;
    bool admitted = false;         // its one-time key is on the list now
  };
  Result<void> judge_enrolment(const Link& from, const Certificate& certificate, Instant now);
  Result<void> judge_token(const Certificate& certificate, Instant now) const;
  Result<void> judge_identity(const Certificate& certificate) const;
  void add_node(const Certificate& certificate, Instant now);
  void judge_memberships(Instant now);
  void end_membership(Node& node);
  Result<void> judge_renewal(const Renewal& renewal, const Node& node, Instant now) const;
  void renew(Node& node, const Renewal& renewal, const PeerKey& by, Instant now);
  void tell_renewal(const Node& node);
  bool lacks_credential(const Node& node) const;
  Result<const Node*> judge_credential(const NodeCredential& issued, Instant now) const;
  void tell_standing(const Node& node);     // with every join: its renewal and its credential, as far as there are
  const Node* ended_member(const PeerKey& peer, Instant now) const;
  void accept_join(Node& node, const Link& from, const Join& join, Instant now);
  void answer_again(Node& node, const Link& from, const Join& join, Instant now);
  JoinAccepted accepted(const Node& node, const Join& join) const;
  void relink(Node& node, const Link& from);
  void refuse_newcomer(Node& node, Instant now);
  void refuse_join(const Link& to, JoinRefused refusal, Instant now);
  void lose_link(Node& node, Instant now);
  void admit(Token& token);
  void expel(Token& token);
  Token* token_of(const Node& node);
  Result<Node*> resolve(const std::string& name_or_key);
  void persist_node(const Node& node, Batch& batch);

  Config config_;
  Outbox& out_;
  Journal& journal_;
  RecordBook& records_;
  std::map<PeerKey, Node> nodes_;
  std::map<std::string, PeerKey> names_;    // of nodes that are not revoked
  std::map<TokenId, Token> tokens_;
  Withdrawals withdrawals_;
  RegistryNews news_;
  Budget stranger_refusals_{kStrangerRefusalsPerWindow};
};

inline constexpr Duration kClockSlack = std::chrono::hours(24);  // of the machine that made a token or renewal

// What a member is told whose membership is over: when, and the remedy.
Error membership_over(const Node& node);

inline constexpr Duration kEnrolmentGrace = std::chrono::seconds(60);  // for a repeated Enrol after a lost answer

}  // namespace covey
