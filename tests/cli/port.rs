//! Targets by `:PORT`: the processes that hold a socket there, with real sockets in a network
//! namespace of the test's own.

use std::io::IoSlice;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::fchown;
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::reuse::swap;
use crate::strange::WINDOWS;
use crate::support::VictimOptions;
use crate::support::prelude::*;

/// Holds its inherited descriptors until its standard input ends.
pub const SERVES: &str = "echo ready; exec cat";

const NOBODY_LISTENS: &str = "sigsend: nothing listens on port 8080\n";

/// Moves this thread and its children to a network namespace in which no other process listens.
pub fn entered_network() -> bool {
    unshare(CloneFlags::CLONE_NEWNET).is_ok()
}

pub fn tcp(address: &str) -> OwnedFd {
    TcpListener::bind(address).expect("a free port").into()
}

pub fn udp(address: &str) -> OwnedFd {
    UdpSocket::bind(address).expect("a free port").into()
}

/// A shell that holds a socket as its standard error; the test keeps none.
pub fn holding(options: VictimOptions, socket: OwnedFd, script: &str) -> Victim {
    let holder = options.ready(sh(script).stderr(socket));
    if script == SERVES {
        holder.await_name("cat");
    }
    holder
}

pub fn serving(socket: OwnedFd) -> Victim {
    holding(victim(), socket, SERVES)
}

/// Lets the children that `start` starts inherit a descriptor.
pub fn with_inheritable<T>(fd: impl AsFd, start: impl FnOnce() -> T) -> T {
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor of ours");
    let started = start();
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor of ours");
    started
}

/// Whether this namespace has addresses that begin with 127.
pub fn has_loopback() -> bool {
    let up = tool("ip link set lo up").status();
    up.is_ok_and(|up| up.success())
}

#[test]
fn a_port_selects_listeners_on_any_address() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let neighbours = [
        serving(tcp("0.0.0.0:808")),
        serving(tcp("0.0.0.0:18080")),
        serving(udp("[::]:8081")),
    ];
    for address in ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"] {
        type Open = fn(&str) -> OwnedFd;
        let both: [(Open, Open, &str); 2] = [(tcp, udp, ":8080"), (udp, tcp, ":8080/udp")];
        for (open, other, port) in both {
            let server = serving(open(address));
            let neighbour = serving(other(address));
            run!("-p {port}").says(format!("{server}\n"));
            run!("--alive {port}").ok();
            let would = format!("would send HUP (1) to {server} (cat): terminates it");
            run!("--dry-run -HUP {port}").fine().has(would);
            run!("--id {port}").says(format!("{server}:"));
            let nobody = format!("sigsend: no such process listens on port {}\n", &port[1..]);
            run!("-HUP -f no-such-text {port}").fails(1, nobody);
            run!("--wait -f no-such-text {port}").ok();
            server.assert_alive();
            run!("--grace 15s {port}").ok();
            server.assert_killed_by(15);
            neighbour.assert_alive();
        }
    }
    alive(&neighbours);
}

#[test]
fn processes_that_share_a_socket_or_port_are_selected() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let shares = "sleep 60 & sleep 60 & echo ready; wait";
    let master = holding(victim(), tcp("[::]:8080"), shares);
    assert_eq!(run!("-p :8080").told().lines().count(), 3);
    let sent = run!("-v --wait :8080").told();
    assert_eq!(sent.matches("sent TERM (15) to").count(), 3, "{sent}");
    master.assert_killed_by(15);
    run!(":8080").fails(1, NOBODY_LISTENS);
    needs!(has_loopback(), "ip to set a network interface up");
    let sockets = [
        tcp("127.0.0.1:8080"),
        tcp("127.0.0.2:8080"),
        udp("0.0.0.0:8080"),
    ];
    let [one, two, datagrams] = sockets.map(serving);
    run!("-KILL :8080").ok();
    one.assert_killed_by(9);
    two.assert_killed_by(9);
    datagrams.assert_alive();
    run!("-HUP :8080/udp").ok();
    datagrams.assert_killed_by(1);
}

#[test]
fn an_invalid_port_is_refused_with_a_hint() {
    let hint = "':PORT', ':PORT/tcp' and ':PORT/udp' take one port, 1 to 65535\n";
    for token in words(
        ": :0 :00 :080 :65536 :80x :-1 ': 80' ':80 ' :8080/sctp :8080/ :/udp :0/udp :8080/tcp/udp",
    ) {
        let line = format!("sigsend: '{token}': invalid target\n{hint}");
        run!("-KILL '{token}'").fails(1, line);
    }
    call!(piped(":80\n"), "--pidfile -").fails(1, "':80': invalid target");
}

#[test]
fn a_connection_is_no_listener() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    needs!(has_loopback(), "ip to set a network interface up");
    let listener = TcpListener::bind("127.0.0.1:8080").expect("a free port");
    let client = TcpStream::connect("127.0.0.1:8080").expect("a process listens");
    let port = client.local_addr().expect("connected").port();
    let (connection, _) = listener.accept().expect("a client has connected");
    let server = serving(listener.into());
    let (connected, peer) = (serving(connection.into()), serving(client.into()));
    run!("-p :8080").says(format!("{server}\n"));
    run!(":{port}").code(1);
    run!(":8080").code(0);
    server.assert_killed_by(15);
    connected.assert_alive();
    peer.assert_alive();
    // Nor is a socket that is bound and does not listen.
    run!(":8080").fails(1, NOBODY_LISTENS);
}

#[test]
fn sigsend_is_not_selected_by_an_inherited_socket() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let socket = tcp("0.0.0.0:8080");
    let heir = serving(socket.try_clone().expect("a descriptor"));
    // As its standard error; the test holds none.
    let mut command = sh("read line; exec \"$0\" -v :8080");
    command.stderr(socket);
    let mut caller = victim().command(command);
    caller.write_line("the test has closed its own");
    let got = caller.read_line();
    assert_eq!(got, format!("sent TERM (15) to {heir} (cat)"));
    caller.assert_exited_with(0);
    heir.assert_killed_by(15);
}

#[test]
fn a_server_whose_main_thread_has_exited_is_found() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let socket = tcp("0.0.0.0:8080");
    let (server, _thread) = with_inheritable(&socket, || leaderless("server"));
    drop(socket);
    run!("-p :8080").says(format!("{server}\n"));
    run!("--grace 15s :8080").fine();
    server.assert_killed_by(15);
}

#[test]
fn another_network_namespace_is_not_seen() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let server = serving(tcp("0.0.0.0:8080"));
    unshare(CloneFlags::CLONE_NEWNET).expect("it worked before");
    run!("-KILL :8080").fails(1, NOBODY_LISTENS);
    server.assert_alive();
}

#[test]
fn processes_of_other_users_need_all() {
    in_pid_namespace!();
    needs!(may_change_user() && entered_network(), "root");
    needs!(has_loopback(), "ip to set a network interface up");
    let foreign = holding(victim().owned_by(NOBODY), tcp("127.0.0.1:8080"), SERVES);
    let line = "sigsend: only processes of other users listen on port 8080\n";
    let hint = "another user's process listens there; -a selects it\n";
    // A process listens, so waiting for none is no success.
    for args in each("|-KILL --wait|--grace 5s|-p") {
        run!("{args} :8080").fails(1, line);
        run!("-v {args} :8080").fails(1, format!("{line}{hint}"));
    }
    // That question is about the processes of all users.
    run!("--alive :8080").ok();
    let own = serving(tcp("127.0.0.2:8080"));
    run!("-HUP :8080").fine();
    own.assert_killed_by(1);
    foreign.assert_alive();
    run!("-a -HUP :8080").fine();
    foreign.assert_killed_by(1);
}

#[test]
fn a_socket_with_a_hidden_holder_is_reported() {
    in_pid_namespace!();
    needs!(may_change_user() && entered_network(), "root");
    needs!(has_loopback(), "ip to set a network interface up");
    let user = Unprivileged::new();
    let server = serving(tcp("127.0.0.1:8080"));
    let unclear = "sigsend: cannot tell which process listens on port 8080, whose socket \
        belongs to root\n";
    let hint = "only root may look at the descriptors of root's processes\n";
    for args in ["", "-a", "-KILL --wait", "-p"] {
        call!(user.sigsend(), "{args} :8080").fails(1, unclear);
        call!(user.sigsend(), "-v {args} :8080").fails(1, format!("{unclear}{hint}"));
    }
    call!(user.sigsend(), "-v --alive :8080").fails(2, format!("{unclear}{hint}"));
    // If the caller has a process on the port, other holders are an error only with --all.
    let own = holding(victim().owned_by(NOBODY), tcp("127.0.0.2:8080"), SERVES);
    call!(user.sigsend(), "-a -0 :8080").fails(64, unclear);
    call!(user.sigsend(), "-HUP :8080").fine();
    own.assert_killed_by(1);
    server.assert_alive();
    // The caller's own socket with a hidden holder.
    let socket = tcp("0.0.0.0:8081");
    fchown(&socket, Some(NOBODY), None).expect("root may");
    let hidden = serving(socket);
    let unclear = "sigsend: cannot tell which process listens on port 8081\n";
    call!(user.sigsend(), ":8081").fails(1, unclear);
    hidden.assert_alive();
}

#[test]
fn a_socket_passed_on_during_the_look_up_is_not_missed() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    for _ in 0..10 {
        let forks = "echo ready; read line; sleep 60 & echo $!; wait";
        let mut server = holding(victim(), tcp("0.0.0.0:8080"), forks);
        let held = Held::at(Window::AfterPinning, "-v :8080");
        server.write_line("fork");
        let child: i32 = server.read_line().parse().expect("a PID");
        // It has the name of the shell until it executes sleep.
        held.go().says(format!("sent TERM (15) to {child} ("));
        server.assert_killed_by(15);
        eventually("the child to be gone", || matches!(state(child), 'Z' | 'X'));
    }
}

/// Closes the socket that it holds.
const CLOSES: &str = "echo ready; read line; exec 2>&-; echo closed; exec cat";

#[test]
fn a_process_that_closes_the_socket_before_the_last_look_at_it_gets_no_signal() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    let server = serving(tcp("0.0.0.0:8080"));
    let trace = strace("trace=socket,pidfd_open", "-0 :8080");
    drop(server);
    // The sockets on the port are listed once more after it was pinned.
    for point in calls_after(&trace, "pidfd_open") {
        let mut former = holding(victim(), tcp("0.0.0.0:8080"), CLOSES);
        let held = Held::before(&point, "-HUP :8080");
        former.write_line("close");
        assert_eq!(former.read_line(), "closed");
        held.go().fails(1, NOBODY_LISTENS);
        former.assert_alive();
    }
}

#[test]
fn a_process_that_closes_the_socket_before_the_second_look_up_gets_no_signal() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    let mut former = holding(victim(), tcp("0.0.0.0:8080"), CLOSES);
    let held = Held::at(Window::AfterPinning, "-KILL :8080");
    former.write_line("close");
    assert_eq!(former.read_line(), "closed");
    let next = serving(tcp("0.0.0.0:8080"));
    held.go().fine();
    former.assert_alive();
    next.assert_killed_by(9);
}

#[test]
fn a_server_that_ends_during_the_look_up_is_not_selected() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    let server = serving(tcp("0.0.0.0:8080"));
    let trace = strace("trace=poll,pidfd_open", "-0 :8080");
    drop(server);
    for point in calls_after(&trace, "pidfd_open") {
        let mut server = serving(tcp("0.0.0.0:8080"));
        let held = Held::before(&point, "-HUP :8080");
        run!("-KILL {server}").code(0);
        server.reap();
        held.go().fails(1, NOBODY_LISTENS);
    }
}

#[test]
fn a_socket_that_is_released_during_the_look_up_is_not_reported() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    // A socket on its way from one process to another has no holder.
    let (sender, receiver) = UnixStream::pair().expect("two sockets");
    let socket = tcp("0.0.0.0:8080");
    let descriptors = [socket.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&descriptors)];
    let text = [IoSlice::new(b"x")];
    sendmsg::<()>(sender.as_raw_fd(), &text, &message, MsgFlags::empty(), None)
        .expect("it takes one");
    drop(socket);
    let pause = Call::nth("clock_nanosleep", 1);
    let held = Held::before(&pause, "-KILL :8080");
    drop((sender, receiver));
    held.go().fails(1, NOBODY_LISTENS);
}

#[test]
fn a_port_never_hits_the_next_owner_of_a_pid() {
    in_pid_namespace!();
    needs!(may_trace() && entered_network(), "strace");
    for window in WINDOWS.into_iter().cycle().take(30) {
        let owner = || victim().with_pid(4242).sleeping();
        let socket = tcp("0.0.0.0:8080");
        let server = with_inheritable(&socket, owner);
        drop(socket);
        swap(window, "-KILL :8080", server, owner, "sigsend: ");
    }
}

#[test]
fn ports_are_found_in_proc_where_the_kernel_answers_no_query() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let holder = serving(tcp("[::]:8080"));
    let _neighbour = serving(tcp("0.0.0.0:8081"));
    // The whole family may be missing, or what answers for sockets of the internet.
    for inject in ["socket:error=EPROTONOSUPPORT", "write:error=EPERM:when=1"] {
        let expression = format!("inject={inject}");
        let trace = traced!(&expression, "-p :8080");
        let holds = trace.calls.iter().any(|call| call.contains("INJECTED"));
        assert!(holds, "{:?}", trace.calls);
        assert_eq!(trace.done.out, format!("{holder}\n"), "{inject}");
    }
    let netlink = strace("trace=socket", "-0 :8080");
    netlink.done.code(0);
    let holds = netlink.calls.iter().any(|call| call.contains("AF_NETLINK"));
    assert!(holds, "{:?}", netlink.calls);
    holder.assert_alive();
}
