#include "coordinator/work.h"

#include "aggregation/aggregator.h"
#include "core/nn/model.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {
namespace {

Result<WorkValue> run(const InitModel& work, BlobStore& blobs, const RowReader&) {
  const std::vector<float> parameters = initial_parameters(work.job.model, Random(work.job.seed).split("model"));
  COVEY_TRY(BlobRef model, write_model(blobs, work.job.model, 0, parameters));
  COVEY_TRY_VOID(blobs.put(bytes_of(public_toml(work.job))));  // what clients fetch as RoundOffer::config
  return WorkValue(ModelReady{model});
}

Result<WorkValue> run(const CheckUpdate& work, BlobStore& blobs, const RowReader&) {
  COVEY_TRY(UpdateChecked checked, check_update(work, blobs));
  return WorkValue(checked);
}

Result<WorkValue> run(const Aggregate& work, BlobStore& blobs, const RowReader&) {
  COVEY_TRY(Aggregated aggregated, aggregate(work, blobs));
  return WorkValue(std::move(aggregated));
}

// Sequences have no gaps, so the records are found one by one without a scan.
Result<WorkValue> run(const ReadChain& work, BlobStore&, const RowReader& rows) {
  if (!rows) return unexpected(ErrorCode::kUnsupported, "this process gives its work no access to rows");
  ChainRows page;
  std::size_t bytes = 0;
  while (page.rows.size() < kChainPageRowsMax) {
    const std::uint64_t sequence = work.after + page.rows.size() + 1;
    if (sequence <= work.after) break;  // past the last number there is
    COVEY_TRY(const std::optional<Bytes> row, rows(work.table + hex_number(sequence)));
    if (!row) break;
    bytes += row->size();
    if (bytes > kChainPageBytesMax && !page.rows.empty()) break;
    COVEY_TRY(ChainRecord record, decode_chain_record(*row));
    page.rows.push_back(std::move(record));
  }
  return WorkValue(std::move(page));
}

template <class Other>
Result<WorkValue> run(const Other&, BlobStore&, const RowReader&) {
  COVEY_CHECK(!"a client's work reached the coordinator's executor");
  return unexpected(ErrorCode::kInternal, "");
}

}  // namespace

Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs, const RowReader& rows) {
  return std::visit([&](const auto& w) { return run(w, blobs, rows); }, work);
}

}  // namespace covey
