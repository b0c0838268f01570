#include "client/service/enrol.h"

#include "core/base/file.h"
#include "core/service/text_file.h"
#include "net/reactor.h"

namespace covey {
namespace {

constexpr Duration kEnrolTimeout = std::chrono::seconds(20);
constexpr std::size_t kTokenFileBytesMax = 8 * 1024;

Result<JoinToken> read_token(const std::string& text) {
  if (!text.starts_with('@')) {
    auto token = join_token_from(text);
    if (!token && file_exists(text))
      return unexpected(token.error().code, token.error().message + "; for what the file " + text + " holds, write @" + text);
    return token;
  }
  COVEY_TRY(Bytes content, read_file(text.substr(1), kTokenFileBytesMax));
  return join_token_from(text_of(content));
}

}  // namespace

Result<void> check_role(const std::string& what, Role held, Role wanted) {
  if (held == wanted) return {};
  const std::string remedy = wanted == Role::kClient
                                 ? std::string("; a site needs a token that was made with `covey token --role client`") +
                                       (held == Role::kOperator ? "; an operator enrols with `covey enrol`" : "")
                                 : std::string("; ") + name_of(wanted) + "s need a token that was made with `covey token --role " + name_of(wanted) +
                                       "`" + (held == Role::kClient ? "; a site enrols with `covey-client --token`" : "");
  return unexpected(ErrorCode::kInvalidArgument, what + " is for the role " + name_of(held) + ", not " + name_of(wanted) + remedy);
}

Result<Membership> enrol(const EnrolRequest& request, BlobStore& blobs, SecureRandom& random) {
  COVEY_TRY(JoinToken token, read_token(request.token));
  COVEY_TRY_VOID(check_role("the token", token.delegation.role, request.role));
  DialConfig to{token.coordinator};
  if (!request.key_change.empty()) {
    COVEY_TRY(to.change, read_key_change(request.key_change, token.coordinator));
  }
  COVEY_TRY(NodeKeys keys, load_or_make_keys(request.folder, random));
  const Certificate certificate = certificate_for(token, keys, request.name);
  COVEY_TRY(Certificate checked, decode_certificate(encode(certificate)));  // refuses a bad name
  COVEY_TRY(const auto caller, make_caller(to, token.one_time_curve, blobs));
  COVEY_TRY(Message reply, caller->call(Enrol{checked}, kEnrolTimeout));
  if (const auto* refused = std::get_if<EnrolRefused>(&reply)) return unexpected(refused->error);
  if (!std::holds_alternative<EnrolAccepted>(reply))
    return unexpected(ErrorCode::kInternal, std::string("the coordinator answered an enrolment with ") + name_of(reply));
  const Membership membership{checked, token.coordinator};
  COVEY_TRY_VOID(save_membership(request.folder, membership));
  return membership;
}

Result<void> check_token(const std::string& token, const std::string& home, const Certificate& certificate) {
  const auto read = read_token(token);
  if (!read || read->delegation.token == certificate.delegation.token) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    home + " is the identity of " + certificate.name + " already, and this is another token than the one it enrolled with. To go on as " +
                        certificate.name + ", leave --token out; where the operator revoked it, enrol anew in a new folder: --home NEW --name " +
                        certificate.name);
}

}  // namespace covey
