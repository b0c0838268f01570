#include "coordinator/cli/token.h"

#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/service/text_file.h"

namespace covey::cli {

Result<SigningKey> authority_of(const std::string& home, const CoordinatorAddress& coordinator) {
  COVEY_TRY(SigningKey authority, load_authority(home));
  if (authority.public_key() == coordinator.authority) return authority;
  return unexpected(ErrorCode::kPermissionDenied,
                    authority_folder(home) +
                        " holds another authority than the one this coordinator trusts; name the right "
                        "folder with --home");
}

Result<std::string> make_token(Session& session, const TokenRequest& request) {
  const CoordinatorAddress& address = session.membership().coordinator;
  COVEY_TRY(const SigningKey authority, authority_of(request.home, address));
  SystemRandom random;
  JoinToken token{address, {}, SigningKey::generate(random), CurveKey::generate(random)};
  random.fill(token.delegation.token.bytes);
  token.delegation.role = request.role;
  const Instant now = SystemClock().now();
  token.delegation.expires = now + request.expires;
  token.delegation.members_until = now + request.valid;
  token.delegation.one_time_curve = token.one_time_curve.public_key();
  token.delegation.one_time_signing = token.one_time_signing.public_key();
  sign(token.delegation, authority);
  COVEY_TRY_VOID(session.ask_for<Done>(RegisterToken{token.delegation}));
  return to_text(token);
}

namespace {

Error there_already(const std::string& path) {
  return {ErrorCode::kAlreadyExists, path + " is there already; name another file with -o"};
}

}  // namespace

Result<void> check_token_file(const std::string& path) {
  if (file_exists(path)) return unexpected(there_already(path));
  return check_output(path);
}

Result<void> save_token(const std::string& path, const std::string& text) {
  auto file = open_file(path, OpenMode::kCreateNew);
  if (!file && file.error().code == ErrorCode::kAlreadyExists) return unexpected(there_already(path));
  if (!file) return unexpected(file.error());
  COVEY_TRY_VOID(write_at(*file, 0, bytes_of(text + "\n"), path));
  return sync_file(*file, path);
}

}  // namespace covey::cli
