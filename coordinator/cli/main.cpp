// covey: the operator's command line. Parses flags and calls the command.
#include <cstdio>
#include <exception>
#include <functional>

#include <CLI/CLI.hpp>

#include "coordinator/cli/bench_presets.h"
#include "coordinator/cli/commands.h"
#include "coordinator/service/home.h"
#include "core/base/thrown.h"
#include "core/service/exit_code.h"
#include "core/service/flag_number.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

using Command = std::function<Result<int>(Console&)>;

// What the command line says; the command chosen is in `run`.
struct Chosen {
  std::string home = default_home();
  bool json = false;
  Command run;
  InitOptions init;
  TokenOptions token;
  EnrolOptions enrol;
  BackupOptions backup;
  RestoreOptions restore;
  RunOptions job_file;
  JobOptions job;
  JournalOptions log;
  PullOptions pull;
  ReportOptions report;
  GenerateOptions generate;
  EvaluateOptions evaluate;
  ExportOptions exporting;
  ImportOptions import;
  ModelsOptions models;
  TokenizeOptions tokenize;
  BenchTrainOptions bench;
  RevokeOptions revoke;
  RenewOptions renew;
  RotateOptions rotate;
  VouchOptions vouch;
  AuditOptions audit;
  DemoOptions demo;
};

// Every command has --json, an example and the exit codes.
CLI::App* add(CLI::App& app, Chosen& chosen, const std::string& name, const std::string& text,
              const std::string& example) {
  CLI::App* command = app.add_subcommand(name, text);
  command->add_flag("--json", chosen.json, "One JSON object a line on standard output");
  command->footer("Example: " + example + "\n" + exit_code_help());
  return command;
}

void add_home(CLI::App* command, Chosen& chosen) {
  command->add_option("--home", chosen.home, "Folder that `covey init` made; also COVEY_HOME")
      ->capture_default_str();
}

CLI::App* add_with_home(CLI::App& app, Chosen& chosen, const std::string& name, const std::string& text,
                        const std::string& example) {
  CLI::App* command = add(app, chosen, name, text, example);
  add_home(command, chosen);
  return command;
}

void add_job(CLI::App* command, std::string& job, const std::string& otherwise) {
  command->add_option("JOB", job, "The job's number or name, as in `covey list`; left out: " + otherwise);
}

void add_model(CLI::App* command, ModelSource& source) {
  command->add_option("--model", source.model, "Folder of `covey pull`, `covey export` or transformers, or a safetensors file")
      ->required();
  command->add_option("--adapter", source.adapter, "Folder of a PEFT adapter to merge into it");
  command->add_option("--tokenizer", source.tokenizer, "tokenizer.json, or its folder; left out: the one in the model's folder");
  command->add_option("--context", source.context, "Tokens of a window, of a folder of transformers; left out: its own, at most 1024")
      ->check(CLI::Range(1, 65536));
}

void add_setup(CLI::App& app, Chosen& chosen) {
  CLI::App* init = add_with_home(app, chosen, "init",
                                 "Make the keys of a new federation: authority, coordinator, operator",
                                 "covey init --host train.example.org");
  init->add_option("--host", chosen.init.host, "Name or address under which clients reach the coordinator")
      ->capture_default_str();
  init->add_option("--control-port", chosen.init.control_port, "Port for messages")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  init->add_option("--bulk-port", chosen.init.bulk_port, "Port for models and updates")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  init->add_option("--operator", chosen.init.operator_name, "Your own name in the journal")
      ->capture_default_str();
  init->callback([&chosen] {
    chosen.init.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return init_command(chosen.init, console); };
  });

  CLI::App* token =
      add_with_home(app, chosen, "token", "Make a join token: one line that lets one node in, once",
                    "covey token --expires 2h -o hospital-a.token");
  token->add_option("--role", chosen.token.role, "client: a site (covey-client --token); operator: one more of you (covey enrol --token)")
      ->capture_default_str();
  token->add_option("--expires", chosen.token.expires, "How long it can be used: a number and s, m, h or d")
      ->capture_default_str();
  token->add_option("--valid", chosen.token.valid,
                    "How long the membership lasts that is made with it, from now: 1 hour to 10 years")
      ->capture_default_str();
  token->add_option("-o,--output", chosen.token.output,
                    "Write it into this new file (mode 0600) instead of standard output");
  token->callback([&chosen] {
    chosen.token.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return token_command(chosen.token, console); };
  });
}

void add_enrol(CLI::App& app, Chosen& chosen) {
  CLI::App* enrol = add_with_home(app, chosen, "enrol", "Become one more operator, with a token of that role",
                                  "covey enrol --token @second.token --name second-operator");
  enrol->add_option("--token", chosen.enrol.token, "What `covey token --role operator` made, or @FILE with it")->required();
  enrol->add_option("--name", chosen.enrol.name, "Your own name in the journal")->required();
  enrol->callback([&chosen] {
    chosen.enrol.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return enrol_command(chosen.enrol, console); };
  });
}

// Of the coordinator's own settings, what commands on its machine must know too: a restore must not look for the
// mark elsewhere, and doctor judges the limits that the coordinator will.
struct CoordinatorSettings {
  std::string mark;
  std::uint32_t nodes_max = DoctorOptions{}.nodes_max;
};
CoordinatorSettings configured(const std::string& home) {
  CLI::App settings;
  CoordinatorSettings found;
  const std::string path = coordinator_folder(home) + "/coordinator.toml";
  if (!why_not_readable(path).empty()) return found;  // the coordinator itself refuses it
  settings.add_option("--ledger-mark", found.mark);
  settings.add_option("--nodes-max", found.nodes_max);
  settings.allow_config_extras(true);
  settings.set_config("--config", path);
  try {
    settings.parse(std::vector<std::string>{});
  } catch (const CLI::ParseError&) {
    return {};  // the coordinator itself refuses such a file, with the line
  }
  return found;
}

void add_storage(CLI::App& app, Chosen& chosen) {
  CLI::App* backup = add_with_home(app, chosen, "backup",
                                   "Save the coordinator's state, on its machine, while it runs or not",
                                   "covey backup /mnt/other-disk/covey-monday");
  backup->add_option("DEST", chosen.backup.destination,
                     "A new folder; left out: a dated one in the coordinator's own folder of backups");
  backup->add_flag("--copy", chosen.backup.copy, "Copy every byte; otherwise files on the same disk get second names");
  backup->add_option("--verify", chosen.backup.verify, "Make none; check every byte of this one");
  backup->callback([&chosen] {
    chosen.backup.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return backup_command(chosen.backup, console); };
  });

  CLI::App* restore = add_with_home(app, chosen, "restore",
                                    "Put a backup in the place of a coordinator's lost state",
                                    "covey restore /mnt/other-disk/covey-monday");
  restore->add_option("BACKUP", chosen.restore.backup, "Folder that `covey backup` made")->required();
  restore->add_option("--ledger-mark", chosen.restore.mark,
                      "The coordinator's ledger mark; left out: as its coordinator.toml says, else beside data/");
  restore->add_flag("--accept-rollback", chosen.restore.accept_rollback,
                    "Restore although more was released since, or nothing can tell; the audit log keeps it");
  restore->callback([&chosen] {
    chosen.restore.home = chosen.home;
    if (chosen.restore.mark.empty()) chosen.restore.mark = configured(chosen.home).mark;
    chosen.run = [&chosen](Console& console) { return restore_command(chosen.restore, console); };
  });
}

void add_jobs(CLI::App& app, Chosen& chosen) {
  CLI::App* run = add_with_home(app, chosen, "run",
                                "Submit a job file and follow the job; Ctrl-C stops following, not the job",
                                "covey run job.toml");
  run->add_option("FILE", chosen.job_file.job_file, "The job file (docs/job_file.md)")->required();
  run->add_flag("--detach", chosen.job_file.detach, "Submit only");
  run->add_flag("--no-vouch", chosen.job_file.no_vouch,
                "Sign no credentials; otherwise, where the authority's key is, a job with secure aggregation vouches for the clients that are connected");
  run->callback([&chosen] {
    chosen.job_file.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return run_command(chosen.job_file, console); };
  });

  CLI::App* list = add_with_home(app, chosen, "list", "All jobs, oldest first", "covey list");
  list->callback(
      [&chosen] { chosen.run = [&chosen](Console& console) { return list_command(chosen.home, console); }; });

  CLI::App* watch = add_with_home(app, chosen, "watch",
                                  "Follow a job: every committed round, then what comes", "covey watch 3");
  add_job(watch, chosen.job.job, "the latest");
  watch->callback([&chosen] {
    chosen.job.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return watch_command(chosen.job, console); };
  });

  CLI::App* log =
      add_with_home(app, chosen, "log", "The coordinator's journal: who joined, what each job went through",
                    "covey log 3 --follow");
  add_job(log, chosen.log.job, "everything");
  log->add_flag("-f,--follow", chosen.log.follow, "Go on until Ctrl-C");
  log->callback([&chosen] {
    chosen.log.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return log_command(chosen.log, console); };
  });

  CLI::App* stop = add_with_home(app, chosen, "stop", "Stop a job; what its last committed round made stays",
                                 "covey stop 3");
  add_job(stop, chosen.job.job, "the latest");
  stop->callback([&chosen] {
    chosen.job.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return stop_command(chosen.job, console); };
  });
}

void add_models(CLI::App& app, Chosen& chosen) {
  CLI::App* pull =
      add_with_home(app, chosen, "pull", "Download a job's latest model: safetensors, job file, figures",
                    "covey pull 3 -o model");
  add_job(pull, chosen.pull.job.job, "the latest");
  pull->add_option("-o,--output", chosen.pull.output, "Folder to write into; left out: job-NUMBER");
  pull->add_option("--tokenizer", chosen.pull.tokenizer,
                   "tokenizer.json that the job pins, or its folder, to go along; left out: an imported model's, where one is");
  pull->callback([&chosen] {
    chosen.pull.job.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return pull_command(chosen.pull, console); };
  });

  CLI::App* report = add_with_home(app, chosen, "report", "A job's curves and figures as one HTML file",
                                   "covey report 3 -o report.html");
  add_job(report, chosen.report.job.job, "the latest");
  report->add_option("-o,--output", chosen.report.output, "File to write")->capture_default_str();
  report->callback([&chosen] {
    chosen.report.job.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return report_command(chosen.report, console); };
  });

  CLI::App* generate = add(app, chosen, "generate", "Text from a transformer: pulled, exported, or of Hugging Face",
                           "covey generate --model job-3 --prompt \"int main\" --bytes 300");
  add_model(generate, chosen.generate.model);
  generate->add_option("--prompt", chosen.generate.prompt, "How the text begins");
  generate->add_option("--tokens,--bytes", chosen.generate.tokens, "Tokens to generate: bytes, of a model without a tokenizer")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  generate
      ->add_option("--temperature", chosen.generate.temperature,
                   "0: the likeliest token each time; 1: as the model believes")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0))->check(refuse_nan);
  generate->add_option("--top-k", chosen.generate.top_k, "Of so many of the likeliest tokens (0: all)")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 22));
  generate->add_option("--top-p", chosen.generate.top_p, "Of the fewest tokens that together are so likely")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))->check(refuse_nan);
  generate->add_option("--seed", chosen.generate.seed, "The same seed gives the same text")
      ->capture_default_str()
      ->check(refuse_negative);
  generate->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return generate_command(chosen.generate, console); };
  });

  CLI::App* evaluate = add(app, chosen, "evaluate",
                           "Loss, accuracy and calibration of a model: pulled, exported, or of Hugging Face",
                           "covey evaluate --model job-3 --data held-out/");
  EvaluateOptions& how = chosen.evaluate;
  add_model(evaluate, how.model);
  evaluate->add_option("--data", how.data, "File or folder in the form that the job says")->required();
  evaluate->add_option("--format", how.format, "Form of the data; left out: as the job says, text where there is none")
      ->check(CLI::IsMember({"text", "idx", "csv", "jsonl", "tokens"}));
  evaluate->add_option("--field", how.field, "Member of each line of jsonl that holds the document");
  evaluate->add_option("--separator", how.separator, "Token that follows each document");
  evaluate->add_option("--damaged-max", how.damaged_max, "Damaged lines or records that are passed over")
      ->check(refuse_negative);
  evaluate->add_option("--logits", how.logits, "Write the first windows' tokens and logits into this safetensors file");
  evaluate->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return evaluate_command(chosen.evaluate, console); };
  });
}

// What goes between Covey and other tools.
void add_files(CLI::App& app, Chosen& chosen) {
  CLI::App* exporting = add(app, chosen, "export", "Write a model for other tools: transformers, PEFT, llama.cpp",
                            "covey export --model job-3 --to hf -o my-model");
  ExportOptions& to = chosen.exporting;
  add_model(exporting, to.model);
  exporting->add_option("--to", to.form, "hf: a folder of transformers; safetensors; peft: the adapters of a LoRA job; gguf")
      ->capture_default_str()
      ->check(CLI::IsMember({"hf", "safetensors", "peft", "gguf"}));
  exporting->add_option("-o,--output", to.output, "New folder; of gguf a new file")->required();
  exporting->add_option("--dtype", to.dtype, "f32, f16 or bf16; left out: as it is, f16 for gguf")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  exporting->add_option("--file-size-max", to.file_size_max, "Weights go into several files beyond this")->capture_default_str();
  exporting->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return export_command(chosen.exporting, console); };
  });

  CLI::App* import = add_with_home(app, chosen, "import",
                                   "Bring a Hugging Face model to the coordinator, for jobs to start from",
                                   "covey import ~/gpt2 --name gpt2");
  import->add_option("FOLDER", chosen.import.folder, "Folder with config.json and safetensors")->required();
  import->add_option("--name", chosen.import.name, "What jobs call it ([model] start); left out: the folder's name");
  import->callback([&chosen] {
    chosen.import.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return import_command(chosen.import, console); };
  });

  CLI::App* models = add_with_home(app, chosen, "models", "The imported models that jobs can start from; --remove takes one away",
                                   "covey models --remove gpt2");
  models->add_option("--remove", chosen.models.remove, "Take this one away; jobs that have begun keep theirs");
  models->callback([&chosen] {
    chosen.models.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return models_command(chosen.models, console); };
  });

  CLI::App* tokenize = add(app, chosen, "tokenize", "Make token files of text or JSON lines, for [data] format = \"tokens\"",
                           "covey tokenize corpus.jsonl --tokenizer gpt2/tokenizer.json -o corpus-tokens");
  TokenizeOptions& from = chosen.tokenize;
  tokenize->add_option("INPUT", from.input, "File or folder")->required();
  tokenize->add_option("-o,--output", from.output, "New folder")->required();
  tokenize->add_option("--tokenizer", from.tokenizer, "tokenizer.json, or its folder; left out: bytes are tokens");
  tokenize->add_option("--format", from.format, "text: a file is a document; jsonl: a line is; left out: jsonl where there are *.jsonl")
      ->check(CLI::IsMember({"text", "jsonl"}));
  tokenize->add_option("--field", from.field, "Member of each line of jsonl that holds the document; left out: text");
  tokenize->add_option("--damaged-max", from.damaged_max, "Damaged lines of jsonl that are passed over; left out: 100")
      ->check(refuse_negative);
  tokenize->add_option("--file-tokens", from.file_tokens, "A new file after so many tokens")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  tokenize->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return tokenize_command(chosen.tokenize, console); };
  });
}

void add_nodes(CLI::App& app, Chosen& chosen) {
  CLI::App* nodes = add_with_home(app, chosen, "nodes", "Who may take part, who is connected, what they have",
                                  "covey nodes --json");
  nodes->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return nodes_command(chosen.home, console); };
  });

  CLI::App* revoke = add_with_home(app, chosen, "revoke", "Shut a node out, at once and for good",
                                   "covey revoke hospital-a");
  revoke->add_option("NODE", chosen.revoke.node, "Its name, or at least 6 hex digits of its key")->required();
  revoke->callback([&chosen] {
    chosen.revoke.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return revoke_command(chosen.revoke, console); };
  });

  CLI::App* renew = add_with_home(app, chosen, "renew", "Let members stay longer, or in again after their end",
                                  "covey renew hospital-a --for 365d");
  renew->add_option("NODE", chosen.renew.node, "Its name, or at least 6 hex digits of its key");
  renew->add_flag("--all", chosen.renew.all, "Everyone who is not revoked and has less time left");
  renew->add_flag("--offline", chosen.renew.offline,
                  "This home's own operator, without the coordinator, which reads it at its next start");
  renew->add_option("--for", chosen.renew.lasts, "How long from now: a number and s, m, h or d, 1 hour to 10 years")
      ->capture_default_str();
  renew->callback([&chosen] {
    chosen.renew.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return renew_command(chosen.renew, console); };
  });

  CLI::App* vouch = add_with_home(app, chosen, "vouch",
                                  "Sign credentials with the authority's key: who may take part in secure aggregation",
                                  "covey vouch hospital-a hospital-b");
  vouch->add_option("NODE", chosen.vouch.nodes, "Names, or at least 6 hex digits of keys; left out: list who has none");
  vouch->add_flag("--all", chosen.vouch.all, "Every client that has none");
  vouch->add_flag("-f,--follow", chosen.vouch.follow, "With --all: go on with those who enrol, until Ctrl-C");
  vouch->add_flag("--new-epoch", chosen.vouch.new_epoch,
                  "Sign anew for everyone who has one: every credential signed before counts no more, wherever it is shown");
  vouch->callback([&chosen] {
    chosen.vouch.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return vouch_command(chosen.vouch, console); };
  });

  CLI::App* doctor =
      add_with_home(app, chosen, "doctor",
                    "Check this machine, its folders and its coordinator; says what to do", "covey doctor");
  doctor->callback([&chosen] {
    chosen.run = [&chosen](Console& console) {
      return doctor_command({chosen.home, configured(chosen.home).nodes_max}, console);
    };
  });

  CLI::App* demo =
      add(app, chosen, "demo",
          "A whole federation on this machine: a coordinator, six clients with different text, one model",
          "covey demo --data ~/mail ~/notes ~/code ~/papers --seconds 300");
  demo->add_option("--data", chosen.demo.data,
                   "Folders of text, one client each, at least four; left out: six kinds of text of this machine");
  demo->add_option("--seconds", chosen.demo.seconds,
                   "About how long the federated training takes; training alone takes as long again")
      ->capture_default_str()
      ->check(CLI::Range(5, 86'400));
  demo->add_option("--dir", chosen.demo.folder,
                   "Folder for everything it makes; the previous demo's is replaced")
      ->capture_default_str();
  demo->add_option("--chaos", chosen.demo.chaos,
                   "Kill one of the federation's processes about every so many seconds, and start it again")
      ->check(CLI::Range(1.0, 3600.0))->check(refuse_nan);
  demo->callback(
      [&chosen] { chosen.run = [&chosen](Console& console) { return demo_command(chosen.demo, console); }; });
}

void add_keys(CLI::App& app, Chosen& chosen) {
  CLI::App* rotate = add_with_home(app, chosen, "rotate-key",
                                   "Give the coordinator a new network key while it serves; clients follow by themselves",
                                   "covey rotate-key --overlap 14d");
  rotate->add_option("--overlap", chosen.rotate.overlap,
                     "How long the key before is served too, from now: a number and s, m, h or d, 1 minute to 90 days")
      ->capture_default_str();
  rotate->add_option("--start-in", chosen.rotate.start_in, "When clients begin to move to the new key")->capture_default_str();
  rotate->add_option("--control-port", chosen.rotate.control_port,
                     "The new key's port for messages; left out: the pair before this one, the first time two above")
      ->check(CLI::Range(1, 65535));
  rotate->add_option("--bulk-port", chosen.rotate.bulk_port, "The new key's port for models and updates; the same")
      ->check(CLI::Range(1, 65535));
  rotate->add_option("--save", chosen.rotate.save,
                     "Change nothing; write the latest change into this new file, for clients that were away");
  rotate->add_option("--follow", chosen.rotate.follow,
                     "Change nothing; let this operator's home follow the change in this file, after a long absence");
  rotate->callback([&chosen] {
    chosen.rotate.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return rotate_command(chosen.rotate, console); };
  });
}

void add_audit(CLI::App& app, Chosen& chosen) {
  CLI::App* audit = add_with_home(app, chosen, "audit",
                                  "Verify and show the coordinator's signed log: every act, roster, round and release",
                                  "covey audit --save audit-2031-04.log --since audit-2031-03.log");
  audit->add_option("--job", chosen.audit.job, "Print this job's records only; everything is verified all the same");
  audit->add_option("--file", chosen.audit.file, "Verify this saved log, without a coordinator");
  audit->add_option("--key", chosen.audit.key, "The record key in hex; left out: the one that --home pins");
  audit->add_option("--since", chosen.audit.since,
                    "An earlier saved log: fail where the log lacks any of it, or has it otherwise");
  audit->add_option("--save", chosen.audit.save, "Write the raw records into this new file");
  audit->callback([&chosen] {
    chosen.audit.home = chosen.home;
    chosen.run = [&chosen](Console& console) { return audit_command(chosen.audit, console); };
  });
}

void add_bench(CLI::App& app, Chosen& chosen) {
  CLI::App* bench = app.add_subcommand("bench", "Measure this machine; `covey bench train --help`");
  bench->require_subcommand(1);
  CLI::App* train = add(*bench, chosen, "train", "How fast this machine trains a model, as a client would",
                        "covey bench train --preset gpt-6x256 --precision bf16");
  BenchTrainOptions& options = chosen.bench;
  CLI::Option* job = train->add_option("--job", options.job_file, "The job file whose model is trained");
  train->add_option("--preset", options.preset, std::string("In place of a job: ") + preset_names())->excludes(job);
  train->add_option("--data", options.data, "File or folder in the form that the job says; left out: noise");
  train->add_option("--tokenizer", options.tokenizer, "tokenizer.json that the job pins, or its folder; left out: the one in the data's folder");
  train->add_option("--precision", options.precision, "In place of the job's")
      ->check(CLI::IsMember({"f32", "bf16", "fp16", "auto"}));
  train->add_option("--checkpointing", options.checkpointing, "In place of the job's")
      ->check(CLI::IsMember({"none", "block", "auto"}));
  train->add_option("--batch", options.batch, "Examples a step, in place of the job's")->check(CLI::Range(1, 65'536));
  train->add_option("--micro-batch", options.micro_batch, "Examples computed at once, in place of the job's")
      ->check(CLI::Range(1, 65'536));
  train->add_option("--seconds", options.seconds, "Of training steps, at least")->capture_default_str()->check(CLI::Range(0.1, 3600.0))->check(refuse_nan);
  train->add_option("--threads", options.threads, "Cores to compute on (0: all)")->capture_default_str()->check(CLI::Range(0, 1024));
  train->add_option("--memory", options.memory_gib, "Memory that training may take, GiB (0: the machine's)")
      ->capture_default_str()->check(CLI::Range(0.0, 65536.0))->check(refuse_nan);
  train->callback([&chosen] {
    chosen.run = [&chosen](Console& console) { return bench_train_command(chosen.bench, console); };
  });
}

int report_error(const Error& error, bool json) {
  std::fprintf(stderr, "covey: %s\n", printable(error.message).c_str());
  const int code = exit_code_of(error.code);
  if (json) {
    const std::string line = JsonObject()
                                 .add("event", "error")
                                 .add("code", name_of(error.code))
                                 .add("text", error.message)
                                 .add("exit_code", code)
                                 .text();
    std::printf("%s\n", line.c_str());
  }
  return code;
}

// A shell's variable that is not set is an empty argument: taken for one that was left out, `covey stop "$JOB"` would
// stop another job. A text may begin with nothing.
void refuse_empty(CLI::App& app) {
  for (CLI::App* const command : app.get_subcommands([](CLI::App*) { return true; }))
    for (CLI::Option* const option : command->get_options())
      if (option->get_items_expected_max() > 0 && !option->check_name("--prompt"))
        option->check([](const std::string& value) { return std::string(value.empty() ? "is empty: give a value, or leave it out" : ""); }, "");
}

int run(int argc, char** argv) {
  Chosen chosen;
  CLI::App app{
      "Covey trains one model on many machines' data, which stays where it is.\n"
      "Begin with `covey demo`, or `covey init`."};
  app.footer("`covey COMMAND --help` says more. docs/commands.md has everything.\n" +
             std::string(exit_code_help()));
  app.set_version_flag("--version", std::string("covey ") + COVEY_VERSION);
  app.require_subcommand(1);
  add_setup(app, chosen);
  add_enrol(app, chosen);
  add_storage(app, chosen);
  add_jobs(app, chosen);
  add_models(app, chosen);
  add_files(app, chosen);
  add_bench(app, chosen);
  add_nodes(app, chosen);
  add_keys(app, chosen);
  add_audit(app, chosen);
  refuse_empty(app);
  const auto is_named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_named).empty())
    return report_error({ErrorCode::kInvalidArgument,
                         "there is no command \"" + std::string(argv[1]) + "\"; `covey --help` lists them"},
                        false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? kExitOk : kExitUsage;
  }
  Console console(chosen.json);
  try {
    const auto code = chosen.run(console);
    return code ? *code : report_error(code.error(), chosen.json);
  } catch (...) {
    return report_error(error_of_exception(), chosen.json);
  }
}

}  // namespace
}  // namespace covey::cli

int main(int argc, char** argv) { return covey::cli::run(argc, argv); }
