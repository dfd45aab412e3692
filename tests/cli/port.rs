//! Targets by `:PORT`: the processes that hold a socket there, with real sockets in a network
//! namespace of the test's own.
#![expect(
    unsafe_code,
    reason = "SO_REUSEPORT has no safe function in std, and descriptors are handed down by fcntl(2)"
)]

use std::fs;
use std::mem;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sched::{CloneFlags, unshare};

use crate::strange::{Call, Held, Window, calls_after, leaderless, may_trace};
use crate::support::{
    NOBODY, Timed, Unprivileged, Victim, VictimOptions, eventually, in_pid_namespace,
    may_change_user, raw_sigsend, sigsend, sigsend_as, skip, stderr, stdout, strace, victim,
};

/// Holds its inherited descriptors until its standard input ends.
const SERVES: &str = "echo ready; exec cat";

/// Moves this thread and its children to a network namespace in which no other process listens.
#[track_caller]
fn entered_network() -> bool {
    let entered = unshare(CloneFlags::CLONE_NEWNET);
    if let Err(error) = entered {
        skip(format!("no network namespace: {error}"));
    }
    entered.is_ok()
}

fn tcp(address: &str) -> OwnedFd {
    TcpListener::bind(address).expect("a free port").into()
}

fn udp(address: &str) -> OwnedFd {
    UdpSocket::bind(address).expect("a free port").into()
}

/// A shell that holds a socket as its standard error; the test keeps none.
#[track_caller]
fn holding(options: VictimOptions, socket: OwnedFd, script: &str) -> Victim {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stderr(socket);
    let mut holder = options.command(command);
    assert_eq!(holder.read_line(), "ready");
    if script == SERVES {
        holder.await_name("cat");
    }
    holder
}

#[track_caller]
fn serving(socket: OwnedFd) -> Victim {
    holding(victim(), socket, SERVES)
}

/// Lets the children that `start` starts inherit a descriptor.
fn with_inheritable<T>(fd: impl AsFd, start: impl FnOnce() -> T) -> T {
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor of ours");
    let started = start();
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor of ours");
    started
}

fn reusing(port: u16) -> OwnedFd {
    // SAFETY: takes integers; the descriptor is owned by nothing else.
    let socket = unsafe {
        OwnedFd::from_raw_fd(libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
        ))
    };
    let on = 1;
    // SAFETY: all zeros are an address, of which only plain integers are set.
    let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
    address.sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("a small number");
    address.sin_port = port.to_be();
    let length = |size: usize| libc::socklen_t::try_from(size).expect("a small number");
    // SAFETY: the option and the address are valid and of the given lengths.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_REUSEPORT,
            (&raw const on).cast(),
            length(mem::size_of_val(&on)),
        ) | libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length(mem::size_of_val(&address)),
        ) | libc::listen(socket.as_raw_fd(), 1)
    };
    assert_eq!(failed, 0, "a socket that shares its port");
    socket
}

/// The PIDs that a selection prints, sorted.
#[track_caller]
fn pids(args: &[&str]) -> Vec<i32> {
    let found = sigsend().arg("-p").args(args).assert().success().stderr("");
    let mut pids: Vec<i32> = stdout(&found)
        .lines()
        .map(|pid| pid.parse().expect("a PID"))
        .collect();
    pids.sort_unstable();
    pids
}

#[test]
fn a_port_selects_listeners_on_any_address() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let neighbours = [
            serving(tcp("0.0.0.0:808")),
            serving(tcp("0.0.0.0:18080")),
            serving(udp("[::]:8081")),
        ];
        let sockets: [fn() -> OwnedFd; 7] = [
            || tcp("0.0.0.0:8080"),
            || tcp("[::]:8080"),
            || tcp("[::ffff:0.0.0.0]:8080"),
            || udp("0.0.0.0:8080"),
            || udp("[::]:8080"),
            || udp("[::ffff:0.0.0.0]:8080"),
            || reusing(8080),
        ];
        for socket in sockets {
            let server = serving(socket());
            assert_eq!(pids(&[":8080"]), [server.pid()]);
            sigsend()
                .args(["--alive", ":8080"])
                .assert()
                .success()
                .stdout("")
                .stderr("");
            let dry = sigsend()
                .args(["--dry-run", "-HUP", ":8080"])
                .assert()
                .success()
                .stderr("");
            let would = format!(
                "would send HUP (1) to {} (cat): terminates it",
                server.pid()
            );
            assert!(stdout(&dry).starts_with(&would), "{}", stdout(&dry));
            let id = stdout(
                &sigsend()
                    .args(["--id", ":8080"])
                    .assert()
                    .success()
                    .stderr(""),
            );
            assert!(id.starts_with(&format!("{}:", server.pid())), "{id}");
            server.assert_alive();
            sigsend()
                .args(["--grace", "15s", ":8080"])
                .assert()
                .success()
                .stdout("")
                .stderr("");
            server.assert_killed_by(15);
        }
        neighbours.iter().for_each(Victim::assert_alive);
    });
}

#[test]
fn processes_that_share_a_socket_or_port_are_selected() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let master = holding(
            victim(),
            tcp("[::]:8080"),
            "sleep 60 & sleep 60 & echo ready; wait",
        );
        assert_eq!(pids(&[":8080"]).len(), 3);
        let sent = sigsend()
            .args(["-v", "--wait", ":8080"])
            .assert()
            .success()
            .stderr("");
        assert_eq!(
            stdout(&sent).matches("sent TERM (15) to").count(),
            3,
            "{}",
            stdout(&sent)
        );
        master.assert_killed_by(15);
        sigsend()
            .arg(":8080")
            .assert()
            .code(1)
            .stderr("sigsend: nothing listens on port 8080\n");
        let three = [
            serving(reusing(8080)),
            serving(reusing(8080)),
            serving(udp("0.0.0.0:8080")),
        ];
        sigsend()
            .args(["-KILL", ":8080"])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        for server in &three {
            server.assert_killed_by(9);
        }
    });
}

#[test]
fn a_port_without_listener_is_a_failure_even_with_wait() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let bystander = serving(tcp("0.0.0.0:80"));
        for args in [
            &[][..],
            &["-KILL"],
            &["--wait"],
            &["--grace", "5s"],
            &["-p"],
            &["--id"],
            &["--alive"],
            &["--dry-run"],
        ] {
            let told = sigsend_as("kill").args(args).arg(":8080").assert().code(1);
            assert_eq!(
                stderr(&told),
                "kill: nothing listens on port 8080\n",
                "{args:?}"
            );
        }
        // The other target gets its signal.
        sigsend().args(["-HUP", ":8080", ":80"]).assert().code(64);
        bystander.assert_killed_by(1);
    });
}

#[test]
fn an_invalid_port_is_refused_with_a_hint() {
    for token in [
        ":", ":0", ":00", ":080", ":65536", ":80x", ":http", ":-1", ": 80", ":80 ",
    ] {
        let told = sigsend().args(["-KILL", token]).assert().code(1).stdout("");
        let words = format!(
            "sigsend: '{token}': invalid target\n':PORT' takes the number of a port, 1 to 65535, in decimal digits\n"
        );
        assert_eq!(stderr(&told), words);
    }
    let told = sigsend()
        .args(["--pidfile", "-"])
        .write_stdin(":80\n")
        .assert()
        .code(1);
    assert!(
        stderr(&told).contains("':80': invalid target"),
        "{}",
        stderr(&told)
    );
}

#[test]
fn a_connection_is_no_listener() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
            .is_ok_and(|status| status.success())
        {
            return skip("no ip to set a network interface up");
        }
        let listener = TcpListener::bind("127.0.0.1:8080").expect("a free port");
        let client = TcpStream::connect("127.0.0.1:8080").expect("a process listens");
        let port = client.local_addr().expect("connected").port();
        let (connection, _) = listener.accept().expect("a client has connected");
        let server = serving(listener.into());
        let (connected, peer) = (serving(connection.into()), serving(client.into()));
        assert_eq!(pids(&[":8080"]), [server.pid()]);
        sigsend().arg(format!(":{port}")).assert().code(1);
        sigsend().arg(":8080").assert().success();
        server.assert_killed_by(15);
        connected.assert_alive();
        peer.assert_alive();
        // Nor is a socket that is bound and does not listen.
        sigsend()
            .arg(":8080")
            .assert()
            .code(1)
            .stderr("sigsend: nothing listens on port 8080\n");
    });
}

#[test]
fn sigsend_is_not_selected_by_an_inherited_socket() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let listener = TcpListener::bind("0.0.0.0:8080").expect("a free port");
        let heir = serving(listener.try_clone().expect("a descriptor").into());
        let mut command = raw_sigsend();
        command.args(["-v", ":8080"]).stdin(OwnedFd::from(listener));
        let told = assert_cmd::Command::from_std(command)
            .timed()
            .assert()
            .success()
            .stderr("");
        assert_eq!(
            stdout(&told),
            format!("sent TERM (15) to {} (cat)\n", heir.pid())
        );
        heir.assert_killed_by(15);
    });
}

#[test]
fn a_server_whose_main_thread_has_exited_is_found() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let socket = tcp("0.0.0.0:8080");
        let (server, _thread) = with_inheritable(&socket, || leaderless("server"));
        drop(socket);
        assert_eq!(pids(&[":8080"]), [server.pid()]);
        sigsend()
            .args(["--grace", "15s", ":8080"])
            .assert()
            .success()
            .stderr("");
        server.assert_killed_by(15);
    });
}

#[test]
fn another_network_namespace_is_not_seen() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let server = serving(tcp("0.0.0.0:8080"));
        unshare(CloneFlags::CLONE_NEWNET).expect("it worked before");
        sigsend()
            .args(["-KILL", ":8080"])
            .assert()
            .code(1)
            .stderr("sigsend: nothing listens on port 8080\n");
        server.assert_alive();
    });
}

#[test]
fn processes_of_other_users_need_all() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_change_user() {
            return skip("needs root");
        }
        let foreign = holding(victim().owned_by(NOBODY), tcp("0.0.0.0:8080"), SERVES);
        let told = sigsend().arg(":8080").assert().code(1);
        let words = "sigsend: only processes of other users listen on port 8080\n\
                     another user's process listens there; -a selects it\n";
        assert_eq!(stderr(&told), words);
        sigsend().args(["--alive", ":8080"]).assert().code(1);
        let own = serving(udp("0.0.0.0:8080"));
        sigsend()
            .args(["-HUP", ":8080"])
            .assert()
            .success()
            .stderr("");
        own.assert_killed_by(1);
        foreign.assert_alive();
        sigsend()
            .args(["-a", "-HUP", ":8080"])
            .assert()
            .success()
            .stderr("");
        foreign.assert_killed_by(1);
    });
}

#[test]
fn a_socket_with_a_hidden_holder_is_reported() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_change_user() {
            return skip("needs root");
        }
        let unprivileged = Unprivileged::new();
        let server = serving(tcp("0.0.0.0:8080"));
        let words = "sigsend: cannot tell which process listens on port 8080, whose socket belongs to root\n\
                     only root may look at the descriptors of root's processes\n";
        for args in [&[][..], &["-a"], &["-KILL", "--wait"], &["-p"]] {
            let told = unprivileged
                .sigsend()
                .args(args)
                .arg(":8080")
                .assert()
                .code(1)
                .stdout("");
            assert_eq!(stderr(&told), words, "{args:?}");
        }
        unprivileged
            .sigsend()
            .args(["--alive", ":8080"])
            .assert()
            .code(2)
            .stderr(words);
        // If the caller has a process on the port, other holders are an error only with --all.
        let own = holding(victim().owned_by(NOBODY), udp("[::]:8080"), SERVES);
        let told = unprivileged
            .sigsend()
            .args(["-a", "-0", ":8080"])
            .assert()
            .code(64);
        assert_eq!(stderr(&told), words);
        unprivileged
            .sigsend()
            .args(["-HUP", ":8080"])
            .assert()
            .success()
            .stderr("");
        own.assert_killed_by(1);
        server.assert_alive();
        // The caller's own socket with a hidden holder.
        let socket = tcp("0.0.0.0:8081");
        fchown(&socket, Some(NOBODY), None).expect("root may");
        let hidden = serving(socket);
        let told = unprivileged.sigsend().arg(":8081").assert().code(1);
        assert!(
            stderr(&told).starts_with("sigsend: cannot tell which process listens on port 8081\n"),
            "{}",
            stderr(&told)
        );
        hidden.assert_alive();
    });
}

#[test]
fn a_socket_passed_on_during_the_look_up_is_not_missed() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_trace() {
            return skip("no strace");
        }
        for _ in 0..10 {
            let mut server = holding(
                victim(),
                tcp("0.0.0.0:8080"),
                "echo ready; read line; sleep 60 & echo $!; wait",
            );
            let held = Held::at(Window::AfterPinning, &["-v", ":8080"]);
            server.write_line("fork");
            let child = server.read_line();
            let output = held.go();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains(&format!("to {child} (sleep)")),
                "{said}"
            );
            server.assert_killed_by(15);
            eventually("the child to be gone", || {
                fs::read_to_string(format!("/proc/{child}/stat"))
                    .map_or(true, |stat| stat.contains(") Z "))
            });
        }
    });
}

#[test]
fn a_process_that_closes_the_socket_before_the_second_look_up_gets_no_signal() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_trace() {
            return skip("no strace");
        }
        let mut former = holding(
            victim(),
            tcp("0.0.0.0:8080"),
            "echo ready; read line; exec 2>&-; echo closed; exec cat",
        );
        let held = Held::at(Window::AfterPinning, &["-KILL", ":8080"]);
        former.write_line("close");
        assert_eq!(former.read_line(), "closed");
        let next = serving(tcp("0.0.0.0:8080"));
        let output = held.go();
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            ),
            (Some(0), "".into())
        );
        former.assert_alive();
        next.assert_killed_by(9);
    });
}

#[test]
fn a_server_that_ends_during_the_look_up_is_not_selected() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_trace() {
            return skip("no strace");
        }
        let args = ["-HUP", ":8080"];
        let server = serving(tcp("0.0.0.0:8080"));
        let trace = strace("trace=poll,pidfd_open", &["-0", ":8080"]).expect("strace is usable");
        drop(server);
        for point in calls_after(&trace, "pidfd_open") {
            let mut server = serving(tcp("0.0.0.0:8080"));
            let held = Held::before(&point, &args);
            sigsend().args(["-KILL", &server.arg()]).assert().success();
            server.reap();
            let output = held.go();
            let told = String::from_utf8_lossy(&output.stderr);
            let expected = (Some(1), "sigsend: nothing listens on port 8080\n");
            assert_eq!((output.status.code(), &*told), expected, "{point:?}");
        }
    });
}

#[test]
fn a_socket_that_is_released_during_the_look_up_is_not_reported() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_trace() {
            return skip("no strace");
        }
        // The descriptors of a thread with a table of its own are not in /proc/PID/fd, like those of
        // a process that exits.
        let (listening, is_listening) = channel();
        let (release, is_released) = channel();
        let holder = thread::spawn(move || {
            unshare(CloneFlags::CLONE_FILES).expect("no privilege is needed");
            let socket = tcp("0.0.0.0:8080");
            listening.send(()).expect("the test waits");
            is_released.recv().expect("the test lives");
            drop(socket);
        });
        is_listening.recv().expect("the thread lives");
        let pause = Call {
            name: "clock_nanosleep".into(),
            nth: 1,
        };
        let held = Held::before(&pause, &["-KILL", ":8080"]);
        release.send(()).expect("the thread waits");
        holder.join().expect("it closes its socket");
        let output = held.go();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*told),
            (Some(1), "sigsend: nothing listens on port 8080\n")
        );
    });
}

#[test]
fn a_port_never_hits_the_next_owner_of_a_pid() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        if !may_trace() {
            return skip("no strace");
        }
        let windows = [
            Window::BeforePinning,
            Window::AfterPinning,
            Window::BeforeSending,
        ];
        for window in windows.into_iter().cycle().take(30) {
            let socket = tcp("0.0.0.0:8080");
            let mut server = with_inheritable(&socket, || victim().with_pid(4242).sleeping());
            drop(socket);
            let held = Held::at(window, &["-KILL", ":8080"]);
            sigsend().args(["-KILL", "4242"]).assert().success();
            server.reap();
            let unrelated = victim().with_pid(4242).sleeping();
            let output = held.go();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{window:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            unrelated.assert_alive();
        }
    });
}
