//! Every key of a service unit that setpoint knows, and what becomes of it.
//!
//! In: nothing. Out: tables. Not here: the work behind an entry (`rules`, `exec`).
//! The surprise: the first entry that fits counts, so `MemoryMax` stands before `Memory*`.

use super::exec;
use super::rules::{
    annotate, cpu_quota, folder, grace, input, kill_mode, kind_of_start, limit, limit_burst, limit_interval, needs,
    number, on_failure, pass_environment, restart, restart_sec, span, startup, stream, text, watchdog,
};
use crate::import::work::{Rule, Rules};

/// `[Unit]`.
pub const UNIT: Rules = &[
    ("Description", Rule::To(|work, key| annotate(work, key, "description"))),
    ("Documentation", Rule::Each(|work, key| annotate(work, key, "documentation"))),
    ("After", Rule::Each(|work, key| needs(work, key, "`needs` waits for it; After only orders two starts"))),
    ("Requires", Rule::Each(|work, key| needs(work, key, ""))),
    ("BindsTo", Rule::Each(|work, key| needs(work, key, "it waits for it, and is not stopped with it"))),
    ("Requisite", Rule::Each(|work, key| needs(work, key, "it waits for it instead of failing"))),
    ("Wants", Rule::Each(|work, key| needs(work, key, "`needs` waits for it; Wants goes on without it"))),
    ("PartOf", Rule::Drop("a stop or restart of another service is not passed on")),
    ("Upholds", Rule::Drop("every applied service is kept up by itself")),
    ("Before", Rule::Drop("the other one says `needs`; here it is not said from this side")),
    ("StartLimitBurst", Rule::To(limit_burst)),
    ("StartLimitInterval*", Rule::To(limit_interval)),
    ("StartLimitAction", Rule::Drop(ACTIONS)),
    ("FailureAction*", Rule::Drop(ACTIONS)),
    ("SuccessAction*", Rule::Drop(ACTIONS)),
    ("OnFailure", Rule::Each(on_failure)),
    ("OnFailure*", Rule::Drop("a Trigger waits for its event and for nothing else")),
    ("OnSuccess*", Rule::Drop("an end that went well is no event: let the command run what follows")),
    ("Condition*", Rule::Drop(CONDITIONS)),
    ("Assert*", Rule::Drop(CONDITIONS)),
    ("Conflicts", Rule::Drop("services do not exclude each other")),
    ("RequiresMountsFor", Rule::Drop("mounts are not waited for")),
    ("DefaultDependencies", Rule::Drop("there are no targets here")),
    ("X-*", Rule::Drop("systemd ignores it, too")),
];

const ACTIONS: &str = "setpoint never reboots or powers off a machine";
const CONDITIONS: &str = "a start has no conditions; test it in `run`";
const SANDBOX: &str = "setpoint has no sandbox: it starts processes as they are";
const FOLDERS: &str = "folders are not made: make it before, or with mkdir -p in `run`";
/// Why a daemon that forks is none here.
pub const FRONT: &str = "setpoint follows the process it started: it must stay in the foreground";
const IO: &str = "priorities of disk and scheduler are not set; `limits.nice` is";
const CGROUP: &str = "of cgroups only memory, CPU and the number of processes are limited";

/// `[Service]`.
pub const SERVICE: Rules = &[
    ("Type", Rule::To(kind_of_start)),
    ("ExecStart", Rule::Each(exec::start)),
    ("ExecStartPre", Rule::Each(exec::before)),
    ("ExecCondition", Rule::Drop(CONDITIONS)),
    ("ExecStartPost", Rule::Drop("nothing runs after a start; `ready` tests whether it is up")),
    ("ExecStop", Rule::Each(exec::stop)),
    ("ExecStopPost", Rule::Drop("nothing runs after a stop; a wrapper script can")),
    ("ExecReload*", Rule::Drop("there is no reload: send the signal yourself, or `setpoint restart`")),
    ("ReloadSignal", Rule::Drop("there is no reload: send the signal yourself, or `setpoint restart`")),
    ("WorkingDirectory", Rule::To(folder)),
    ("Environment", Rule::Each(exec::environment)),
    ("EnvironmentFile", Rule::Each(exec::environment_file)),
    ("PassEnvironment", Rule::Each(pass_environment)),
    ("UnsetEnvironment", Rule::Drop("a service starts with a clean environment anyway")),
    ("User", Rule::To(|work, key| text(work, key, "user"))),
    ("Group", Rule::To(|work, key| text(work, key, "group"))),
    ("SupplementaryGroups", Rule::Drop("a service has the groups of its user")),
    ("DynamicUser", Rule::Drop("users are not made: name one in `user`")),
    ("UMask", Rule::To(|work, key| text(work, key, "umask"))),
    ("Restart", Rule::To(restart)),
    ("RestartSec", Rule::To(restart_sec)),
    ("RestartMaxDelaySec", Rule::To(|work, key| work.duration(key, "backoff.to", span(key)))),
    ("RestartSteps", Rule::To(|work, key| work.said(key, "backoff.factor", "each delay is twice the last"))),
    (
        "RestartPreventExitStatus",
        Rule::Drop("exit codes make no difference but 0, which `restart: on-failure` accepts"),
    ),
    ("RestartForceExitStatus", Rule::Drop("exit codes make no difference but 0, which `restart: on-failure` accepts")),
    ("SuccessExitStatus", Rule::To(|work, key| work.said(key, "restart", "only an exit with 0 counts as a success"))),
    ("StartLimitBurst", Rule::To(limit_burst)),
    ("StartLimitInterval*", Rule::To(limit_interval)),
    ("TimeoutStopSec", Rule::To(grace)),
    ("TimeoutSec", Rule::To(grace)),
    ("TimeoutStartSec", Rule::To(startup)),
    ("TimeoutAbortSec", Rule::Drop("a stop has one grace, `stop.grace`")),
    ("KillSignal", Rule::To(|work, key| work.signal(key, "stop.signal"))),
    ("KillMode", Rule::To(kill_mode)),
    ("SendSIGKILL", Rule::To(|work, key| work.said(key, "stop", "what is left after the grace is always killed"))),
    ("SendSIGHUP", Rule::Drop("one signal asks it to stop, `stop.signal`")),
    ("FinalKillSignal", Rule::Drop("what is left after the grace gets KILL")),
    ("RestartKillSignal", Rule::Drop("one signal asks it to stop, `stop.signal`")),
    ("WatchdogSec", Rule::To(watchdog)),
    ("WatchdogSignal", Rule::Drop("what hangs is stopped with `stop.signal`")),
    ("NotifyAccess", Rule::To(|work, key| work.said(key, "ready", "any process of the service may say it is ready"))),
    ("RemainAfterExit", Rule::Drop("a service that has ended is not up")),
    ("PIDFile", Rule::Drop(FRONT)),
    ("GuessMainPID", Rule::Drop(FRONT)),
    ("BusName", Rule::Drop("D-Bus is not watched; `ready: { command: [..] }` can ask for a name")),
    ("RuntimeMax*", Rule::Drop("a service may run for ever")),
    ("LimitNOFILE", Rule::To(|work, key| limit(work, key, "limits.files"))),
    ("LimitNPROC", Rule::To(|work, key| limit(work, key, "limits.processes"))),
    ("LimitCORE", Rule::To(|work, key| limit(work, key, "limits.core"))),
    ("LimitFSIZE", Rule::To(|work, key| limit(work, key, "limits.fileSize"))),
    ("LimitSTACK", Rule::To(|work, key| limit(work, key, "limits.stack"))),
    ("LimitNICE", Rule::Drop(IO)),
    ("Limit*", Rule::Drop("of this kind of limit there is none in `limits`")),
    ("TasksMax", Rule::To(|work, key| limit(work, key, "limits.processes"))),
    ("MemoryMax", Rule::To(|work, key| limit(work, key, "limits.memory"))),
    ("MemoryLimit", Rule::To(|work, key| limit(work, key, "limits.memory"))),
    ("CPUQuota", Rule::To(cpu_quota)),
    ("Memory*", Rule::Drop(CGROUP)),
    ("CPU*", Rule::Drop(CGROUP)),
    ("IO*", Rule::Drop(IO)),
    ("Nice", Rule::To(|work, key| number(work, key, "limits.nice", -20..=19))),
    ("OOMScoreAdjust", Rule::To(|work, key| number(work, key, "limits.oomScore", -1000..=1000))),
    ("OOMPolicy", Rule::Drop("when the kernel kills one process, the others stay until the main process ends")),
    ("StandardOutput", Rule::To(stream)),
    ("StandardError", Rule::To(stream)),
    ("StandardInput", Rule::To(input)),
    ("TTY*", Rule::Drop("`tty: true` gives a terminal of its own, not one of the machine")),
    ("Syslog*", Rule::Drop("output goes to the log that `setpoint logs` shows, under the name of the service")),
    ("Log*", Rule::Drop("output is kept as `log` says")),
    ("Slice", Rule::Drop(CGROUP)),
    ("Delegate*", Rule::Drop(CGROUP)),
    ("Tasks*", Rule::Drop(CGROUP)),
    ("Sockets", Rule::Drop("setpoint hands no socket to a process")),
    ("FileDescriptor*", Rule::Drop("setpoint hands no socket to a process")),
    ("PermissionsStartOnly", Rule::Drop("everything runs as `user`")),
    ("RootDirectory*", Rule::Drop(SANDBOX)),
    ("RootImage*", Rule::Drop(SANDBOX)),
    ("Private*", Rule::Drop(SANDBOX)),
    ("Protect*", Rule::Drop(SANDBOX)),
    ("Restrict*", Rule::Drop(SANDBOX)),
    ("SystemCall*", Rule::Drop(SANDBOX)),
    ("Capabilit*", Rule::Drop(SANDBOX)),
    ("Ambient*", Rule::Drop(SANDBOX)),
    ("NoNewPrivileges", Rule::Drop(SANDBOX)),
    ("SecureBits", Rule::Drop(SANDBOX)),
    ("ReadWrite*", Rule::Drop(SANDBOX)),
    ("ReadOnly*", Rule::Drop(SANDBOX)),
    ("Inaccessible*", Rule::Drop(SANDBOX)),
    ("Bind*", Rule::Drop(SANDBOX)),
    ("Temporary*", Rule::Drop(SANDBOX)),
    ("Device*", Rule::Drop(SANDBOX)),
    ("IPAddress*", Rule::Drop(SANDBOX)),
    ("LockPersonality", Rule::Drop(SANDBOX)),
    ("LoadCredential*", Rule::Drop("a secret comes by `env: { NAME: { fromFile: PATH } }`")),
    ("RuntimeDirectory*", Rule::Drop(FOLDERS)),
    ("StateDirectory*", Rule::Drop(FOLDERS)),
    ("CacheDirectory*", Rule::Drop(FOLDERS)),
    ("LogsDirectory*", Rule::Drop(FOLDERS)),
    ("ConfigurationDirectory*", Rule::Drop(FOLDERS)),
    ("X-*", Rule::Drop("systemd ignores it, too")),
];

/// `[Install]`.
pub const INSTALL: Rules = &[
    ("WantedBy", Rule::Each(|work, key| work.said(key, "", BOOT))),
    ("RequiredBy", Rule::Each(|work, key| work.said(key, "", BOOT))),
    ("Alias", Rule::Drop("a service has one name")),
    ("Also", Rule::Drop("every manifest is applied by itself")),
    ("DefaultInstance", Rule::Drop("there are no templates")),
];

const BOOT: &str =
    "what is applied is up while the controller is; `setpoint controller install` starts that with the machine";
