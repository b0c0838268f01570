// The commands of `covey`: each takes its options as a plain value and gives an exit code, or an
// error that main prints. Flags are parsed in main.cpp alone.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/cli/console.h"
#include "coordinator/cli/model_file.h"
#include "core/base/result.h"
#include "core/protocol/message.h"

namespace covey::cli {

// ---- setup_commands.cpp
struct InitOptions {
  std::string home;
  std::string host = "127.0.0.1";
  std::uint16_t control_port = 7700;
  std::uint16_t bulk_port = 7701;
  std::string operator_name = "operator";
};
Result<int> init_command(const InitOptions& options, Console& console);

struct TokenOptions {
  std::string home;
  std::string role = "client";
  std::string expires = "24h";
  std::string valid = "365d";  // how long the membership lasts
  std::string output;  // empty: standard output
};
Result<int> token_command(const TokenOptions& options, Console& console);

// ---- enrol_command.cpp
struct EnrolOptions {
  std::string home;            // in which no operator is yet
  std::string token;           // of the role operator: its text, or @file
  std::string name;            // in the journal
};
Result<int> enrol_command(const EnrolOptions& options, Console& console);

// ---- storage_commands.cpp
struct BackupOptions {
  std::string home;
  std::string destination;     // empty: the coordinator's own folder of backups
  bool copy = false;           // never second names of one file
  std::string verify;          // a backup to check, instead of making one
};
Result<int> backup_command(const BackupOptions& options, Console& console);

struct RestoreOptions {
  std::string home;
  std::string backup;
  std::string mark;            // empty: as coordinator.toml says, else beside data/
  bool accept_rollback = false;
};
Result<int> restore_command(const RestoreOptions& options, Console& console);

// ---- job_commands.cpp
struct RunOptions {
  std::string home;
  std::string job_file;
  bool detach = false;
  bool no_vouch = false;       // else: for connected clients without a credential, where the job aggregates securely
};
Result<int> run_command(const RunOptions& options, Console& console);

struct JobOptions {            // of the commands that speak of one job
  std::string home;
  std::string job;             // number or name; empty: the latest
};
Result<int> list_command(const std::string& home, Console& console);
Result<int> watch_command(const JobOptions& options, Console& console);
Result<int> stop_command(const JobOptions& options, Console& console);

struct JournalOptions {
  std::string home;
  std::string job;             // number or name; empty: every job, and what is of none
  bool follow = false;
};
Result<int> log_command(const JournalOptions& options, Console& console);

// ---- model_commands.cpp
struct PullOptions {
  JobOptions job;
  std::string output;          // folder; empty: job-<number>
  std::string tokenizer;       // tokenizer.json or its folder, of a job that pins one; empty: one of this home, if there is
};
Result<int> pull_command(const PullOptions& options, Console& console);

struct ReportOptions {
  JobOptions job;
  std::string output = "report.html";
};
Result<int> report_command(const ReportOptions& options, Console& console);

struct GenerateOptions {
  ModelSource model;
  std::string prompt;
  std::uint32_t tokens = 400;  // bytes, of a model without a tokenizer
  double temperature = 0.8;
  std::uint32_t top_k = 0;     // 0: all
  double top_p = 1;
  std::uint64_t seed = 1;
};
Result<int> generate_command(const GenerateOptions& options, Console& console);

// ---- evaluate_command.cpp
struct EvaluateOptions {
  ModelSource model;
  std::string data;            // file or folder in the form that the model's job says, or the settings below
  std::string format;          // text, jsonl, tokens; empty: as the job says, text for a folder of transformers
  std::string field;           // of jsonl; empty: as the job says
  std::optional<std::uint32_t> separator;
  std::optional<std::uint64_t> damaged_max;
  std::string logits;          // file for the first windows' logits; empty: none
};
Result<int> evaluate_command(const EvaluateOptions& options, Console& console);

// ---- export_command.cpp
struct ExportOptions {
  ModelSource model;
  std::string output;          // a new folder; of gguf a new file
  std::string form = "hf";     // hf, safetensors, peft, gguf
  std::string dtype;           // f32, f16, bf16; empty: as read, f16 for gguf
  std::string file_size_max = "4 GiB";
};
Result<int> export_command(const ExportOptions& options, Console& console);

// ---- import_command.cpp
struct ImportOptions {
  std::string home;
  std::string folder;          // of transformers
  std::string name;            // what jobs call it; empty: the folder's own
};
Result<int> import_command(const ImportOptions& options, Console& console);

// ---- start_models_command.cpp
struct ModelsOptions {
  std::string home;
  std::string remove;          // one to take away; empty: list
};
Result<int> models_command(const ModelsOptions& options, Console& console);

// ---- tokenize_command.cpp
struct TokenizeOptions {
  std::string input;           // file or folder
  std::string output;          // a new folder
  std::string tokenizer;       // tokenizer.json or its folder; empty: bytes
  std::string format;          // text, jsonl; empty: jsonl for *.jsonl and folders that hold one
  std::string field;           // of jsonl; empty: text
  std::optional<std::uint64_t> damaged_max;  // of jsonl; nothing: 100
  std::uint64_t file_tokens = 100'000'000;
};
Result<int> tokenize_command(const TokenizeOptions& options, Console& console);

// ---- bench_command.cpp
struct BenchTrainOptions {
  std::string job_file, preset;     // one of the two
  std::string data;                 // file or folder in the form that the job says; empty: noise
  std::string tokenizer;            // that the job pins, or its folder; empty: the one in the data's folder
  std::string precision, checkpointing;  // in place of the job's; empty: as it says
  std::uint32_t batch = 0, micro_batch = 0;  // the same; 0: as it says
  double seconds = 10;
  std::uint32_t threads = 0;        // 0: all cores
  double memory_gib = 0;            // 0: the machine's
};
Result<int> bench_train_command(const BenchTrainOptions& options, Console& console);

// ---- node_commands.cpp
Result<int> nodes_command(const std::string& home, Console& console);
struct RevokeOptions {
  std::string home;
  std::string node;
};
Result<int> revoke_command(const RevokeOptions& options, Console& console);

// ---- renew_command.cpp
struct RenewOptions {
  std::string home;
  std::string node;            // name, or at least 6 hex digits of its key
  bool all = false;
  bool offline = false;        // this home's own operator, through a file that the coordinator reads at its start
  std::string lasts = "365d";
};
Result<int> renew_command(const RenewOptions& options, Console& console);

// ---- rotate_command.cpp
struct RotateOptions {
  std::string home;
  std::string overlap = "14d";      // how long the key before is served, from now
  std::string start_in = "0s";      // when nodes begin to move
  std::uint16_t control_port = 0;   // of the new key; 0: the other pair
  std::uint16_t bulk_port = 0;
  std::string follow;               // keep the change in this file for this home, and change nothing
  std::string save;                 // write the latest change into this file, and change nothing
};
Result<int> rotate_command(const RotateOptions& options, Console& console);

// ---- vouch_command.cpp
struct VouchOptions {
  std::string home;
  std::vector<std::string> nodes;  // names, or at least 6 hex digits of keys; none, and not all: list only
  bool all = false;
  bool follow = false;         // go on with newcomers until Ctrl-C
  bool new_epoch = false;      // for all who have one, anew: what was signed before counts no more
};
Result<int> vouch_command(const VouchOptions& options, Console& console);

// ---- audit_command.cpp
struct AuditOptions {
  std::string home;
  std::string job;             // number, of what is printed; everything is verified
  std::string file;            // verify this one instead of a coordinator's
  std::string key;             // hex; empty: the one that `home` pins
  std::string since;           // an earlier file that must be a beginning of this log
  std::string save;
};
Result<int> audit_command(const AuditOptions& options, Console& console);

// ---- doctor.cpp
struct DoctorOptions {
  std::string home;
  std::uint32_t nodes_max = 10'000;  // that the coordinator of this home takes
};
Result<int> doctor_command(const DoctorOptions& options, Console& console);

// ---- demo.cpp
struct DemoOptions {
  std::vector<std::string> data;  // empty: text that lies on this machine
  std::uint32_t seconds = 120;
  std::string folder = "build/demo";
  double chaos = 0;               // kill a process about every so many seconds; 0: none
};
Result<int> demo_command(const DemoOptions& options, Console& console);

}  // namespace covey::cli
