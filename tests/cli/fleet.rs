//! Many machines: sigsend run by clush, pdsh and Ansible on three hosts with a real sshd each, with
//! the recipes of docs/fleet.md.

mod hosts;

use crate::support::prelude::*;
use hosts::{HOSTS, Hosts, of_host, result};

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

/// The events that sigsend reports on a host where a daemon ignored TERM.
const BY_FORCE: &str = "sent TERM, sent CONT, sent KILL, gone, summary";

impl Hosts {
    /// web1: a daemon that ignores TERM. web2: one that has crashed. web3: a stale pidfile.
    fn spoil(&self) {
        self.crash_webd("web1");
        self.start_webd("web1", "stubborn");
        self.crash_webd("web2");
        self.make_stale("web3");
    }
}

#[test]
fn clush_collects_the_result_of_each_host() {
    in_pid_namespace!();
    let Some(hosts) = Hosts::new(&["clush"]) else {
        return;
    };
    HOSTS.iter().for_each(|host| hosts.start_webd(host, ""));
    let reload = "clush -S -w web[1-3] sigsend -r -HUP --json --pidfile /run/webd.pid";
    let all = hosts.run(reload).fine();
    for host in HOSTS {
        assert_eq!(of_host(&all, host), "sent HUP, summary");
        eventually("a reload", || Hosts::reloads(host) == 1);
    }
    hosts.spoil();
    let stop = "clush -S -w web[1-3] sigsend --grace 500ms --json --pidfile /run/webd.pid";
    let some = hosts.run(stop).code(1);
    let some = some.has("clush: web3: exited with exit code 1");
    assert_eq!(of_host(&some, "web1"), BY_FORCE);
    assert_eq!(of_host(&some, "web2"), "already-gone, summary");
    assert_eq!(of_host(&some, "web3"), "failed, summary");
    some.has("is stale");
    hosts.assert_bystander_lives("web3");
}

#[test]
fn clush_and_pdsh_return_the_highest_status() {
    in_pid_namespace!();
    let Some(hosts) = Hosts::new(&["clush", "pdsh"]) else {
        return;
    };
    hosts.start_webd("web1", "stubborn");
    let calls = "
        sigsend -HUP --pidfile /run/webd.pid              | 0
        sigsend -HUP 999999999                            | 1
        sigsend --alive +1                                | 2
        sigsend -HUP --pidfile /run/webd.pid 999999999    | 64
        sigsend --within 0s --pidfile /run/webd.pid       | 124
        no-such-program                                   | 127";
    for tool in ["clush", "pdsh"] {
        for [call, status] in rows(calls) {
            let done = hosts.run(&format!("{tool} -S -w web1 {call}"));
            done.code(numbers(status)[0]);
        }
        // The other two have no pidfile, which is status 1.
        let late = "sigsend --within 0s --pidfile /run/webd.pid";
        let all = hosts.run(&format!("{tool} -S -w web[1-3] {late}"));
        all.code(124);
        // Without -S, and with a host that does not exist.
        let gone = "sigsend -HUP 999999999";
        hosts.run(&format!("{tool} -w web1 {gone}")).code(0);
        hosts.run(&format!("{tool} -S -w web[3-4] true")).code(255);
    }
}

#[test]
fn nginx_is_reloaded_and_ended_gracefully_on_all_hosts() {
    in_pid_namespace!();
    let Some(hosts) = Hosts::new(&["clush", "pdsh", "nginx"]) else {
        return;
    };
    HOSTS.iter().for_each(|host| hosts.start_nginx(host));
    let log = |host| Hosts::file(host, "nginx.log");
    for (count, tool) in [(1, "clush"), (2, "pdsh")] {
        hosts.run(recipe(tool)).code(0);
        let reloads = |host| log(host).matches("(SIGHUP) received").count();
        for host in HOSTS {
            eventually("a reload", || reloads(host) == count);
        }
    }
    // It ends its workers, and removes its pidfile, on QUIT.
    let quit = "clush -S -w web[1-3] sigsend -QUIT --wait --pidfile /run/nginx.pid";
    hosts.run(quit).code(0);
    for host in HOSTS {
        assert_eq!(Hosts::file(host, "nginx.pid"), "");
        contains!(log(host), "gracefully shutting down");
    }
}

#[test]
fn ansible_distinguishes_stopped_gone_and_failed() {
    in_pid_namespace!();
    let Some(hosts) = Hosts::new(&["ansible-playbook"]) else {
        return;
    };
    hosts.write("reload.yml", file("reload.yml"));
    hosts.write("stop.yml", file("stop.yml"));
    HOSTS.iter().for_each(|host| hosts.start_webd(host, ""));
    let all = hosts.run("ansible-playbook -v reload.yml").code(0);
    for host in HOSTS {
        assert_eq!(result(&all, host), "changed: sent HUP, summary");
        eventually("a reload", || Hosts::reloads(host) == 1);
    }
    hosts.spoil();
    let stopped = hosts.run("ansible-playbook -v -e grace=500ms stop.yml");
    let stopped = stopped.code(2);
    assert_eq!(result(&stopped, "web1"), format!("changed: {BY_FORCE}"));
    assert_eq!(result(&stopped, "web2"), "ok: already-gone, summary");
    assert_eq!(result(&stopped, "web3"), "fatal: failed, summary");
    hosts.assert_bystander_lives("web3");
    // A host without a pidfile has nothing to stop.
    for host in HOSTS {
        hosts.on(host, "rm /run/webd.pid");
    }
    let nothing = hosts.run("ansible-playbook -e grace=500ms stop.yml");
    nothing.code(0).lacks("changed: [");
}
