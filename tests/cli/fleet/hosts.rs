//! Three hosts made of namespaces: each has its own address, sshd, PIDs and /run. A fourth network
//! namespace, `switch`, is the administrator's. The machine's own network is not used, all files
//! are on file systems that only these namespaces see, and everything ends with the test's PID
//! namespace.

use std::process::Child;

use serde_json::Value;

use crate::support::prelude::*;

/// The hosts, in the order of their addresses.
pub const HOSTS: [&str; 3] = ["web1", "web2", "web3"];

const SSHD: &str = "\
AuthorizedKeysFile /mnt/key.pub
LogLevel VERBOSE
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile /run/sshd.pid
SetEnv PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin
StrictModes no
Subsystem sftp internal-sftp
UsePAM no
";

/// Three hosts, and an administrator's account to run commands from.
pub struct Hosts {
    hosts: Vec<Child>,
    home: PathBuf,
}

impl Hosts {
    /// Sets up hosts that can be reached through ssh. If that is not possible here, skips the test
    /// and returns `None`. Must be called in a PID namespace of its own.
    pub fn new(programs: &[&str]) -> Option<Self> {
        let needed = "hostname ip mount ssh ssh-keygen sshd unshare";
        let mut needed = needed.split(' ').chain(programs.iter().copied());
        if let Some(missing) = needed.find(|name| program(name).is_none()) {
            skip(format!("no {missing}"));
            return None;
        }
        // sshd drops its privileges and changes its user.
        if !may_change_user() {
            skip("needs root");
            return None;
        }
        if let Err(reason) = mounts().and_then(|()| switch()) {
            skip(format!("no network namespaces: {reason}"));
            return None;
        }
        files();
        let hosts = HOSTS.iter().zip(addresses());
        let hosts = hosts.map(|(host, address)| start(host, &address));
        let hosts = hosts.collect();
        for host in HOSTS {
            // sshd writes it once it listens.
            eventually("sshd", || Self::file(host, "sshd.pid").ends_with('\n'));
        }
        Some(Self {
            hosts,
            home: "/mnt/home".into(),
        })
    }

    /// Runs a shell command as the administrator, with the settings that clush, pdsh and Ansible
    /// need to reach the hosts.
    #[track_caller]
    pub fn run(&self, line: &str) -> Done {
        let mut command = Command::new(program("ip").expect("checked before"));
        command.args(["netns", "exec", "switch", "sh", "-c", line]);
        command.current_dir(&self.home);
        command.env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("LC_ALL", "C.UTF-8");
        command.env("PDSH_RCMD_TYPE", "ssh");
        command.env("PDSH_SSH_ARGS_APPEND", "-F /mnt/ssh_config");
        let mut bounded = assert_cmd::Command::from_std(command);
        let output = bounded.timeout(2 * DEADLINE).output().expect("ip starts");
        Done::of(line, output)
    }

    /// Runs a shell command on one host. It must succeed.
    #[track_caller]
    pub fn on(&self, host: &str, line: &str) {
        let done = self.run(&format!("ssh -F /mnt/ssh_config {host} '{line}'"));
        let got = done.status;
        assert_eq!(got, Some(0), "{done:?}{}", Self::file(host, "sshd.log"));
    }

    /// Starts the daemon on a host, `stubborn` or not.
    #[track_caller]
    pub fn start_webd(&self, host: &str, manner: &str) {
        let start = format!("setsid -f /mnt/bin/webd {manner} </dev/null >/dev/null 2>&1");
        self.on(host, &format!("rm -f /run/webd.pid; {start}"));
        eventually("webd", || Self::file(host, "webd.pid").ends_with('\n'));
    }

    #[track_caller]
    pub fn start_nginx(&self, host: &str) {
        self.on(host, "nginx");
        eventually("nginx", || Self::file(host, "nginx.pid").ends_with('\n'));
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.home.join(name), text).expect("a file");
    }

    /// Kills the daemon of a host like a crash: its pidfile stays.
    #[track_caller]
    pub fn crash_webd(&self, host: &str) {
        let crash = "sigsend --wait -KILL --pidfile /run/webd.pid --expect webd";
        self.on(host, crash);
    }

    /// Kills the daemon of a host, and replaces its pidfile by one with the PID of another process,
    /// which started long after the file was written.
    #[track_caller]
    pub fn make_stale(&self, host: &str) {
        self.crash_webd(host);
        let other = "sh -c \"echo \\$\\$ >/run/webd.pid; exec sleep 3600\"";
        let start = format!("rm /run/webd.pid; setsid -f {other} </dev/null >/dev/null 2>&1");
        self.on(host, &start);
        let is_written = || Self::file(host, "webd.pid").ends_with('\n');
        eventually("a bystander", is_written);
        self.on(host, "touch -d \"1 hour ago\" /run/webd.pid");
    }

    /// Asserts that the process whose PID is in a stale pidfile is alive.
    #[track_caller]
    pub fn assert_bystander_lives(&self, host: &str) {
        let alive = "sigsend --alive --pidfile /run/webd.pid --allow-stale --expect sleep";
        self.on(host, alive);
    }

    /// A file in a host's /run, empty if it is missing.
    pub fn file(host: &str, name: &str) -> String {
        fs::read_to_string(Path::new("/mnt").join(host).join(name)).unwrap_or_default()
    }

    /// How often the daemon of a host has received HUP.
    pub fn reloads(host: &str) -> usize {
        Self::file(host, "webd.log").lines().count()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}

/// The events in JSON lines, with the signals that were sent.
fn events<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let event = |line| {
        let event: Value = serde_json::from_str(line).expect(line);
        let signal = event["signal"].as_str().map(|signal| format!(" {signal}"));
        let kind = event["event"].as_str().expect("an event");
        format!("{kind}{}", signal.unwrap_or_default())
    };
    lines.map(event).collect::<Vec<_>>().join(", ")
}

/// The events of a host, as printed by clush and pdsh after the host's name.
pub fn of_host(done: &Done, host: &str) -> String {
    let lines = done.out.lines().filter_map(|line| line.split_once(": "));
    events(lines.filter(|(of, _)| *of == host).map(|(_, event)| event))
}

/// The result of `ansible-playbook -v` for a host, and the events of sigsend.
#[track_caller]
pub fn result(done: &Done, host: &str) -> String {
    let named = format!(": [{host}]");
    let mut lines = done.out.lines().chain(done.err.lines());
    let line = lines.find(|line| line.contains(&named) && line.contains("=> {"));
    let line = line.unwrap_or_else(|| panic!("nothing of {host}: {done:?}"));
    let (kind, result) = line.split_once(&named).expect("it was found");
    let result = &result[result.find('{').expect("it was found")..];
    let result: Value = serde_json::from_str(result).expect(result);
    let lines = result["stdout"].as_str().expect("what sigsend wrote");
    format!("{kind}: {}", events(lines.lines()))
}

fn addresses() -> impl Iterator<Item = String> {
    (1..).map(|number| format!("10.213.47.{number}"))
}

/// Mounts file systems over those of the machine: `ip netns` keeps its names in /run, and all other
/// files of the hosts are in /mnt.
fn mounts() -> Result<(), String> {
    let tmpfs = |at| tried(&format!("mount -t tmpfs -o mode=755 sigsend-test {at}"));
    tmpfs("/run").and_then(|()| tmpfs("/mnt"))
}

/// A bridge with the administrator's address, and a veth pair from it to each host.
fn switch() -> Result<(), String> {
    let ip = |line: &str| tried(&format!("ip {line}"));
    ip("netns add switch")?;
    ip("-n switch link add bridge type bridge")?;
    ip("-n switch address add 10.213.47.254/24 dev bridge")?;
    ip("-n switch link set bridge up")?;
    for (host, address) in HOSTS.iter().zip(addresses()) {
        ip(&format!("netns add {host}"))?;
        ip(&format!(
            "-n switch link add {host} type veth peer name eth0 netns {host}"
        ))?;
        ip(&format!("-n switch link set {host} master bridge up"))?;
        ip(&format!("-n {host} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {host} link set eth0 up"))?;
    }
    Ok(())
}

/// Keys, and the configuration of the servers and of the programs that use ssh.
fn files() {
    let write = |path: &str, text: &str| {
        let path = Path::new("/mnt").join(path);
        fs::create_dir_all(path.parent().expect("it is in /mnt")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let key = |path: &str| {
        tried(&format!("ssh-keygen -q -t ed25519 -N '' -C '' -f {path}")).expect("a key");
    };
    key("/mnt/key");
    write("sshd_config", SSHD);
    let mut ssh = String::new();
    let mut known = String::new();
    for (host, address) in HOSTS.iter().zip(addresses()) {
        fs::create_dir(Path::new("/mnt").join(host)).expect("a directory");
        key(&format!("/mnt/{host}/key"));
        known += &format!("{host} {}", Hosts::file(host, "key.pub"));
        ssh += &format!("Host {host}\nHostName {address}\nHostKeyAlias {host}\n");
    }
    write("known_hosts", &known);
    ssh += "Host *\nUser root\nIdentityFile /mnt/key\nIdentitiesOnly yes\nUserKnownHostsFile /mnt/known_hosts\n\
            GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\n";
    write("ssh_config", &ssh);
    let options = "[Main]\nssh_options: -F /mnt/ssh_config\n";
    write("home/.config/clustershell/clush.conf", options);
    write(
        "home/.ansible.cfg",
        "[defaults]\ninventory = /mnt/home/hosts\nremote_tmp = /run/ansible\ninterpreter_python = /usr/bin/python3\n\
         callback_result_format = json\n[ssh_connection]\nssh_args = -F /mnt/ssh_config\n",
    );
    write("home/hosts", &format!("[web]\n{}\n", HOSTS.join("\n")));
    write("nginx.conf", include_str!("nginx.conf"));
    write("bin/nginx", include_str!("nginx"));
    write("host", include_str!("host"));
    write("bin/webd", include_str!("webd"));
    for script in ["bin/nginx", "bin/webd"] {
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(Path::new("/mnt").join(script), executable).expect("a file of ours");
    }
    // Not a link: the hosts do not see all file systems of this process.
    write("bin/sigsend", "");
    tried(&format!("mount --bind {} /mnt/bin/sigsend", *SIGSEND)).expect("a file of ours");
}

fn start(host: &str, address: &str) -> Child {
    let mut command = Command::new(program("ip").expect("checked before"));
    let namespaces = "--pid --fork --mount-proc --uts --kill-child";
    let line = format!("netns exec {host} unshare {namespaces} sh /mnt/host {host} {address}");
    let started = command.args(words(&line)).stdin(Stdio::null()).spawn();
    started.expect("ip starts")
}

fn tried(line: &str) -> Result<(), String> {
    let words = words(line);
    let done = Command::new(program(&words[0]).expect("checked before")).run(&words[1..]);
    match done.status {
        Some(0) => Ok(()),
        _ => Err(format!("{line}: {}", done.err.trim())),
    }
}
