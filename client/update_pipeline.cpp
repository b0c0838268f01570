#include "client/update_pipeline.h"

#include <vector>

#include "core/protocol/manifest.h"
#include "privacy/clipper.h"

namespace covey {

Result<PreparedUpdate> prepare_update(const UpdateSpec& spec, std::span<const float> delta) {
  if (spec.clip_norm <= 0) {
    COVEY_TRY(const double norm, finite_norm(delta));
    return PreparedUpdate{bytes_of_floats(delta), norm};
  }
  std::vector<float> clipped(delta.begin(), delta.end());
  COVEY_TRY(const Clipping clipping, clip(clipped, spec.clip_norm));
  return PreparedUpdate{bytes_of_floats(clipped), clipping.norm_before};
}

}  // namespace covey
