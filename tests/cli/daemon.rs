//! A real daemon: nginx, with a configuration of its own on a loopback port, is checked with
//! `--alive`, reloaded while a request is in flight, and ended gracefully.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::prelude::*;

/// A running nginx that answers `/` with a word of its configuration and forwards `/slow` to the
/// test.
struct Nginx {
    dir: TempDir,
    master: Victim,
    address: SocketAddr,
    upstream: TcpListener,
}

impl Nginx {
    fn start(binary: &Path, word: &str) -> Self {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        // If another process takes the free port first, nginx ends and the next port is tried.
        for _ in 0..5 {
            let dir = tempdir();
            let address = free_address();
            configure(&dir, address, &upstream, word);
            let mut command = Command::new(binary);
            command
                .args(words("-c nginx.conf -e error.log -p"))
                .arg(dir.path());
            command.stderr(Stdio::null());
            let master = victim().command(command);
            let upstream = upstream.try_clone().expect("a copy");
            let nginx = Self {
                dir,
                master,
                address,
                upstream,
            };
            let mut answer = None;
            eventually("nginx to answer or to give up", || {
                answer = nginx.get("/");
                answer.is_some() || nginx.master.has_ended()
            });
            if answer.is_some() {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    /// The PID that nginx has written into its pidfile.
    fn pid(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("nginx.pid"));
        text.expect("nginx writes a pidfile").trim().to_owned()
    }

    /// The answer on a new connection; `None` if it is refused.
    fn get(&self, path: &str) -> Option<String> {
        let mut answer = String::new();
        self.ask(path)?.read_to_string(&mut answer).ok()?;
        let (_head, body) = answer.split_once("\r\n\r\n")?;
        Some(body.to_owned())
    }

    /// Sends a request; the caller reads the answer.
    fn ask(&self, path: &str) -> Option<TcpStream> {
        let mut connection = TcpStream::connect_timeout(&self.address, DEADLINE).ok()?;
        connection.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        Some(connection)
    }

    /// A request that is in flight: nginx has taken it and waits for the answer of the test.
    fn ask_slowly(&self) -> Flight {
        let client = self.ask("/slow").expect("nginx answers");
        let (upstream, _) = self.upstream.accept().expect("nginx passes the request on");
        Flight { client, upstream }
    }
}

/// A request in flight; see [`Nginx::ask_slowly`].
struct Flight {
    client: TcpStream,
    upstream: TcpStream,
}

impl Flight {
    /// Sends the answer and checks that it arrives complete.
    fn assert_answered(mut self) {
        let mut request = [0; 4096];
        assert!(self.upstream.read(&mut request).expect("a request") > 0);
        write!(self.upstream, "HTTP/1.0 200 OK\r\n\r\nslow but whole").expect("nginx waits for it");
        drop(self.upstream);
        let mut answer = String::new();
        self.client.read_to_string(&mut answer).expect("an answer");
        let is_whole = answer.ends_with("\r\n\r\nslow but whole");
        assert!(answer.starts_with("HTTP/1.1 200") && is_whole, "{answer}");
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("a bound socket")
}

fn configure(dir: &TempDir, address: SocketAddr, upstream: &TcpListener, word: &str) {
    let upstream = upstream.local_addr().expect("a bound socket");
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temp = temp.map(|kind| format!("{kind}_temp_path tmp;")).concat();
    // If no other user is mapped, a worker cannot change its user.
    let configuration = format!(
        "user root;
         daemon off;
         pid nginx.pid;
         error_log error.log;
         worker_processes 1;
         events {{ worker_connections 64; }}
         http {{
             access_log off;
             {temp}
             server {{
                 listen {address};
                 location / {{ return 200 {word}; }}
                 location /slow {{ proxy_pass http://{upstream}; }}
             }}
         }}"
    );
    dir.file("nginx.conf", configuration);
}

#[test]
fn nginx_reloads_on_hup_and_ends_gracefully_on_quit() {
    in_pid_namespace(|| {
        let Some(binary) = program("nginx") else {
            return skip("no nginx");
        };
        let mut nginx = Nginx::start(&binary, "first");
        let pid = nginx.pid();
        assert_eq!(pid, nginx.master.arg());
        assert_eq!(nginx.get("/").as_deref(), Some("first"));
        run!("-0 {pid}").ok();

        let flight = nginx.ask_slowly();
        configure(&nginx.dir, nginx.address, &nginx.upstream, "second");
        // A new file alone changes nothing.
        assert_eq!(nginx.get("/").as_deref(), Some("first"));
        run!("-HUP {pid}").ok();
        let is_new = || nginx.get("/").as_deref() == Some("second");
        eventually("the new configuration", is_new);
        flight.assert_answered();
        assert_eq!(nginx.pid(), pid);
        run!("-0 {pid}").ok();

        let flight = nginx.ask_slowly();
        run!("-QUIT {pid}").ok();
        eventually("nginx to take no more requests", || {
            nginx.ask("/").is_none()
        });
        assert!(
            !nginx.master.has_ended(),
            "it waits for the request in flight"
        );
        flight.assert_answered();
        assert_eq!(nginx.master.reap(), Ending::Exited(0));
        run!("-0 {pid}").fails(1, "No such process");
    });
}
