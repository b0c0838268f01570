#include "core/tensor/cpu/gemm.h"

#include <oneapi/dnnl/dnnl.h>

#include "core/base/check.h"
#include "core/tensor/cpu/single_thread.h"

namespace covey::cpu {

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, GemmMatrix a, GemmMatrix b, float beta,
          float* c) {
  if (m == 0 || n == 0) return;
  const SingleThread alone;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, 1.0F, a.data,
                 a.columns, b.data, b.columns, beta, c, n);
  COVEY_CHECK(status == dnnl_success);
}

}  // namespace covey::cpu
