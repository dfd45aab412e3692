//! Many machines: sigsend run by clush, pdsh and Ansible on three hosts with a real sshd each, with
//! the recipes of docs/fleet.md.

mod hosts;

use serde_json::{Value, json};

use crate::support::prelude::*;
use hosts::{HOSTS, Hosts, events, result};

const PAGE: &str = include_str!("../../docs/fleet.md");

/// The command of the page with this beginning.
fn recipe(beginning: &str) -> &'static str {
    let mut commands = PAGE.lines().filter_map(|line| line.strip_prefix("$ "));
    let recipe = commands.find(|command| command.starts_with(beginning));
    recipe.unwrap_or_else(|| panic!("no recipe with {beginning}"))
}

/// The YAML of the page whose first line is `# NAME`.
fn file(name: &str) -> &'static str {
    let blocks = PAGE.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.lines().next() == Some(&format!("# {name}")));
    block.unwrap_or_else(|| panic!("no {name} on the page"))
}

/// The events without times and inodes.
fn plain(events: &[Value]) -> Vec<Value> {
    let mut events = events.to_vec();
    for event in events.iter_mut().filter_map(Value::as_object_mut) {
        event.retain(|key, _| !["elapsed_ms", "inode", "reason"].contains(&key.as_str()));
    }
    events
}

fn sent(host: &str, signal: &str, number: i32) -> Value {
    let pid = Hosts::pid(host);
    json!({"event": "sent", "target": pid.to_string(), "pid": pid, "name": "webd", "signal": signal, "number": number})
}

fn summary(signalled: u32, gone: u32, failed: u32, status: i32) -> Value {
    json!({"event": "summary", "signalled": signalled, "already_gone": gone, "failed": failed, "remaining": 0, "status": status})
}

/// A stubborn daemon got TERM, did not end, and was killed; its end is reported if the kernel
/// provides it.
#[track_caller]
fn assert_stopped_by_force(host: &str, events: &[Value]) {
    let [term, cont, kill, gone, end] = &plain(events)[..] else {
        panic!("{host}: {events:?}")
    };
    let steps = [("TERM", 15), ("CONT", 18), ("KILL", 9)];
    let expected = steps.map(|(signal, number)| sent(host, signal, number));
    assert_eq!([term, cont, kill], expected.each_ref());
    let got = (&gone["event"], &gone["pid"]);
    assert_eq!(got, (&json!("gone"), &Hosts::pid(host)));
    let is_killed = gone["ending"] == "killed" && gone["exit_signal"] == "KILL";
    assert!(gone["ending"] == "unknown" || is_killed, "{gone}");
    assert_eq!(*end, summary(1, 0, 0, 0));
}

/// A process that did not write the pidfile got no signal.
#[track_caller]
fn assert_stale(host: &str, events: &[Value]) {
    let pid = Hosts::pid(host);
    let hint = events[0]["hint"].clone();
    contains!(hint.as_str().unwrap_or_default(), "--allow-stale");
    let failed = json!({"event": "failed", "target": pid.to_string(), "pid": pid, "hint": hint});
    assert_eq!(plain(events), [failed, summary(0, 0, 1, 1)]);
    contains!(events[0]["reason"].as_str().unwrap_or_default(), "is stale");
}

#[test]
fn clush_collects_the_result_of_each_host() {
    in_pid_namespace(|| {
        let Some(hosts) = Hosts::new(&["clush"]) else {
            return;
        };
        for host in HOSTS {
            hosts.start_webd(host, "");
        }

        let reload = "clush -S -w web[1-3] sigsend -r -HUP --json --pidfile /run/webd.pid";
        let all = events(&hosts.run(reload).fine());
        for host in HOSTS {
            let got = plain(&all[host]);
            assert_eq!(got, [sent(host, "HUP", 1), summary(1, 0, 0, 0)]);
            eventually("a reload", || Hosts::reloads(host) == 1);
        }

        // One daemon has crashed, and the PID of another belongs to an unrelated process.
        hosts.crash_webd("web2");
        hosts.make_stale("web3");
        let some = hosts.run(reload).code(1);
        contains!(some.err, "clush: web2: exited with exit code 1");
        let some = events(&some);
        let got = plain(&some["web1"]);
        assert_eq!(got, [sent("web1", "HUP", 1), summary(1, 0, 0, 0)]);
        eventually("a second reload", || Hosts::reloads("web1") == 2);
        let pid = Hosts::pid("web2");
        let mut gone = json!({"event": "failed", "target": pid.to_string(), "pid": pid});
        gone["errno"] = "ESRCH".into();
        assert_eq!(plain(&some["web2"]), [gone, summary(0, 0, 1, 1)]);
        assert_stale("web3", &some["web3"]);

        // Stopping: an already gone daemon counts as success, one that ignores TERM is killed, and
        // an unrelated process still gets no signal.
        hosts.crash_webd("web1");
        hosts.start_webd("web1", "stubborn");
        let stop = "clush -S -w web[1-3] sigsend --grace 500ms --json --pidfile /run/webd.pid";
        let stopped = events(&hosts.run(stop).code(1));
        assert_stopped_by_force("web1", &stopped["web1"]);
        let gone = json!({"event": "already-gone", "target": pid.to_string(), "pid": pid});
        assert_eq!(plain(&stopped["web2"]), [gone, summary(0, 1, 0, 0)]);
        assert_stale("web3", &stopped["web3"]);
        hosts.assert_bystander_lives("web3");
    });
}

#[test]
fn clush_and_pdsh_return_the_highest_status() {
    in_pid_namespace(|| {
        let Some(hosts) = Hosts::new(&["clush", "pdsh"]) else {
            return;
        };
        hosts.start_webd("web1", "stubborn");
        let calls = [
            ("sigsend -HUP --pidfile /run/webd.pid", 0),
            ("sigsend -HUP 999999999", 1),
            ("sigsend --alive +1", 2),
            ("sigsend -HUP --pidfile /run/webd.pid 999999999", 64),
            ("sigsend --within 0s --pidfile /run/webd.pid", 124),
            ("no-such-program", 127),
        ];
        for tool in ["clush", "pdsh"] {
            for (call, status) in calls {
                hosts.run(&format!("{tool} -S -w web1 {call}")).code(status);
            }
            // The other two have no pidfile, which is status 1.
            let late = "sigsend --within 0s --pidfile /run/webd.pid";
            let all = hosts.run(&format!("{tool} -S -w web[1-3] {late}"));
            all.code(124);
            // Without -S, and with a host that does not exist.
            let call = format!("{tool} -w web1 sigsend -HUP 999999999");
            hosts.run(&call).code(0);
            hosts.run(&format!("{tool} -S -w web[3-4] true")).code(255);
        }
    });
}

#[test]
fn nginx_is_reloaded_and_ended_gracefully_on_all_hosts() {
    in_pid_namespace(|| {
        let Some(hosts) = Hosts::new(&["clush", "pdsh", "nginx"]) else {
            return;
        };
        for host in HOSTS {
            hosts.start_nginx(host);
        }
        for (count, tool) in [(1, "clush"), (2, "pdsh")] {
            hosts.run(recipe(tool)).code(0);
            let log = |host| Hosts::file(host, "nginx.log");
            let reloads = |host| log(host).matches("(SIGHUP) received").count();
            for host in HOSTS {
                eventually("a reload", || reloads(host) == count);
            }
        }
        // It ends its workers, and removes its pidfile, on QUIT.
        hosts
            .run("clush -S -w web[1-3] sigsend -QUIT --wait --pidfile /run/nginx.pid")
            .code(0);
        for host in HOSTS {
            assert_eq!(Hosts::file(host, "nginx.pid"), "");
            contains!(Hosts::file(host, "nginx.log"), "gracefully shutting down");
        }
    });
}

#[test]
fn ansible_distinguishes_stopped_gone_and_failed() {
    in_pid_namespace(|| {
        let Some(hosts) = Hosts::new(&["ansible-playbook"]) else {
            return;
        };
        hosts.write("reload.yml", file("reload.yml"));
        hosts.write("stop.yml", file("stop.yml"));
        for host in HOSTS {
            hosts.start_webd(host, "");
        }

        let all = hosts.run("ansible-playbook -v reload.yml").code(0);
        for host in HOSTS {
            let (kind, events) = result(&all, host);
            assert_eq!(kind, "changed");
            assert_eq!(plain(&events), [sent(host, "HUP", 1), summary(1, 0, 0, 0)]);
            eventually("a reload", || Hosts::reloads(host) == 1);
        }

        hosts.crash_webd("web1");
        hosts.start_webd("web1", "stubborn");
        hosts.crash_webd("web2");
        hosts.make_stale("web3");
        let stopped = hosts.run("ansible-playbook -v -e grace=500ms stop.yml");
        let stopped = stopped.code(2);
        let (kind, events) = result(&stopped, "web1");
        assert_eq!(kind, "changed");
        assert_stopped_by_force("web1", &events);
        let pid = Hosts::pid("web2");
        let gone = json!({"event": "already-gone", "target": pid.to_string(), "pid": pid});
        let (kind, events) = result(&stopped, "web2");
        let got = (kind, plain(&events));
        assert_eq!(got, ("ok", vec![gone, summary(0, 1, 0, 0)]));
        let (kind, events) = result(&stopped, "web3");
        assert_eq!(kind, "fatal");
        assert_stale("web3", &events);
        hosts.assert_bystander_lives("web3");

        // A host without a pidfile has nothing to stop.
        for host in HOSTS {
            hosts.on(host, "rm /run/webd.pid");
        }
        let nothing = hosts.run("ansible-playbook -e grace=500ms stop.yml");
        let nothing = nothing.code(0);
        assert!(!nothing.out.contains("changed: ["), "{nothing:?}");
    });
}
