// The client's work: local data, local steps in this process, and the update that leaves it.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client/train_plan.h"
#include "core/base/blob_store.h"
#include "core/base/clock.h"
#include "core/data/dataset.h"
#include "core/data/tokens/token_stream.h"
#include "core/protocol/machine.h"

namespace covey {

// Token files that are read as they are trained on, from where the rounds before ended.
struct StreamedFiles {
  std::string path;
  PackingSpec packing;        // of the part that is trained on
  std::uint64_t windows = 0;  // of an epoch
};

// Data that is local to one client: a data set and which of its examples are this client's.
struct LocalData {
  std::shared_ptr<const Dataset> data;  // shared: in the simulator many clients read one data set
  Split split;
  std::optional<StreamedFiles> stream = {};  // trained on instead of split.train
  std::uint64_t train_examples() const { return stream ? stream->windows : split.train.size(); }
};

// Where a client's data comes from: a folder in production, a partition in the simulator.
class DataSource {
 public:
  virtual ~DataSource() = default;
  // Errors: those of load_dataset, and kInvalidData when there is no training example.
  virtual Result<LocalData> load(const JobSpec& job) = 0;
};
// A file or folder of this client's own; `path` is checked when a job asks for it. `tokenizer`: the tokenizer.json
// that jobs may pin, or empty: the one in the data's folder.
std::unique_ptr<DataSource> make_path_source(std::string path, std::string tokenizer = {});

// Memory that outlives one call of train(): the model's replica and its arenas, the optimizer, the
// batch buffers, and the offered model as it was last read. Calls for the same model, whoever's
// client they serve, allocate almost nothing. One call at a time; what it holds never changes a result.
class TrainWorkspace {
 public:
  explicit TrainWorkspace(int threads = 1);  // that compute a step; their number changes no bit
  ~TrainWorkspace();
  TrainWorkspace(const TrainWorkspace&) = delete;
  TrainWorkspace& operator=(const TrainWorkspace&) = delete;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// A local step that was taken. Of this site's data, so for its own eyes: nothing here may be sent.
struct StepReport {
  std::uint64_t step = 0;      // from 1
  std::uint64_t examples = 0;
  std::uint64_t targets = 0;
  double loss_sum = 0;         // nats
  // Where the batch adapts (client/adaptive_batch.h), in examples:
  std::uint32_t batch = 0;     // of the next step
  std::optional<double> noise_scale = {};
};

// Both run synchronously and are deterministic: the order of examples comes
// from (job.seed, round, client), so that a repeated attempt makes the same update, bit for bit.
struct TrainContext {
  BlobStore& blobs;                    // holds the model; receives the update
  const LocalData& local;
  PeerKey client;                      // for the seed
  const std::atomic<bool>* cancelled = nullptr;  // may be null; checked between steps
  TrainWorkspace* workspace = nullptr; // may be null: memory of this call's own
  Clock* clock = nullptr;              // for TrainStats::seconds, which is 0 where it is null
  TrainLimits limits{};                // the processor's own speed is asked for here
  std::function<void(const TrainPlan&)> planned{};  // told what was chosen, before the work; may be empty
  std::function<void(const StepReport&)> stepped{};  // told of each local step; may be empty
  std::function<void(std::uint64_t)> damaged{};      // told how many records of a stream its steps passed over; may be empty
  // Told that the work's cursor is not of these files, which are read from their beginning instead; may be empty.
  std::function<void(const Error&)> begun_anew{};
};
Result<DataPrepared> prepare(const LocalData& local);
// Measures the offered model on the whole held-out part; in a training round then takes the job's
// local steps and puts global - local, prepared as the job says, into the blobs.
// Errors: kInvalidUpdate when loss or update is not finite (with the step and the remedy),
// kInvalidMessage when the model is not the job's, kUnavailable when cancelled,
// kResourceExhausted, and those of read_model.
Result<Trained> train(const Train& work, const TrainContext& context);

}  // namespace covey
