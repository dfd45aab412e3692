//! Many machines: sigsend driven by clush, pdsh and Ansible on three hosts with a real sshd each, with the commands of docs/fleet.md.

mod rack;

use crate::support::in_pid_namespace;
use rack::{HOSTS, Rack};

#[test]
fn probe() {
    in_pid_namespace(|| {
        let Some(rack) = Rack::new(&["clush"]) else { return };
        let run = |line: &str| {
            let all = rack.run(line);
            eprintln!("$ {line}\n{:?}\n{}\n--\n{}\n", all.status, all.stdout, all.stderr);
        };
        for host in HOSTS {
            rack.start_webd(host, "");
        }
        eprintln!("{:?}", std::time::SystemTime::now());
        run("clush -S -w web[1-3] sigsend -HUP --json --pidfile /run/webd.pid --expect webd");
        eprintln!("{:?}", std::time::SystemTime::now());
        rack.crash_webd("web2");
        rack.make_stale("web3");
        run("clush -S -w web[1-3] sigsend -HUP --json --pidfile /run/webd.pid --expect webd");
        rack.crash_webd("web1");
        rack.start_webd("web1", "stubborn");
        std::fs::write("/mnt/home/stop.yml", include_str!("../../docs/fleet.md").split("```yaml\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
        eprintln!("{:?}", std::time::SystemTime::now());
        run("ansible-playbook -v stop.yml");
        run("ansible-playbook stop.yml");
        eprintln!("{:?}", std::time::SystemTime::now());
        rack.start_webd("web1", "stubborn");
        run("clush -S -w web[1-4] true");
        run("pdsh -S -w web[1-4] true");
        for host in HOSTS {
            rack.on(host, "nginx -c /mnt/nginx.conf -e /run/nginx.log");
        }
        run("clush -S -w web[1-3] 'nginx -t -q -c /mnt/nginx.conf && sigsend -v -r -HUP --pidfile /run/nginx.pid --expect nginx'");
        run("pdsh -S -w web[1-3] 'nginx -t -q -c /mnt/nginx.conf && sigsend -v -r -HUP --pidfile /run/nginx.pid --expect nginx'");
        for host in HOSTS {
            rack.on(host, "true");
            eprintln!("{}", Rack::file(host, "nginx.log"));
        }
        eprintln!("{:?}", std::time::SystemTime::now());
        panic!("done");
    });
}
