#include "core/tensor/cpu/gemm.h"

#include <oneapi/dnnl/dnnl.h>

#include "core/base/check.h"
#include "core/tensor/cpu/single_thread.h"

namespace covey::cpu {

void gemm(GemmSize size, GemmMatrix a, GemmMatrix b, float beta, GemmOutput c) {
  if (size.m == 0 || size.n == 0) return;
  const SingleThread alone;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', size.m, size.n, size.k, 1.0F, a.data, a.columns,
                 b.data, b.columns, beta, c.data, c.columns);
  COVEY_CHECK(status == dnnl_success);
}

}  // namespace covey::cpu
