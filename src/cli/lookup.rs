//! Hints that need a look at the system. A refused command line is complete only then.

use std::fs;
use std::io;

use crate::os::{proc, sys};
use crate::usage::{Lookup, UsageError};

/// Adds the hint that the system knows, or leaves the one that there is.
pub fn complete(error: UsageError) -> UsageError {
    let known = match &error.lookup {
        None => None,
        Some(Lookup::Input) => (error.hint.is_none() && sys::is_pipe(io::stdin()))
            .then(|| "'--pidfile -' reads targets from standard input".to_owned()),
        Some(Lookup::Service(name)) => {
            let services = fs::read_to_string("/etc/services").unwrap_or_default();
            number(&services, name).map(|port| format!("'{{program}} :{port}' means that service"))
        }
        Some(Lookup::User(user)) => proc::user_id(user).ok().flatten().map(users_group),
    };
    error.better_hint(known)
}

/// The control group that systemd gives a user.
fn users_group(id: u32) -> String {
    format!("all processes of a user are a control group: '--cgroup /user.slice/user-{id}.slice'")
}

/// The port of a service in the text of services(5), by its name or an alias.
fn number<'a>(services: &'a str, name: &str) -> Option<&'a str> {
    services.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let (official, entry) = (words.next()?, words.next()?);
        let is_meant = official == name || words.any(|alias| alias == name);
        entry.strip_suffix("/tcp").filter(|_| is_meant)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_of_a_user_is_named_by_number() {
        for (user, id) in [("0", 0), ("root", 0), ("1000", 1000)] {
            let error = complete(UsageError::new("").lookup(Lookup::User(user.into())));
            assert_eq!(error.hint, Some(users_group(id)), "{user}");
        }
        let unknown = UsageError::new("").lookup(Lookup::User("no such user".into()));
        assert_eq!(complete(unknown.clone()), unknown);
    }

    const SERVICES: &str = "# http\t1/tcp

domain\t\t53/udp
domain 53/tcp # DNS
http\t80/tcp\twww
";

    #[test]
    fn a_service_has_the_number_of_its_line() {
        for (name, port) in [("http", "80"), ("www", "80"), ("domain", "53")] {
            assert_eq!(number(SERVICES, name), Some(port), "{name}");
        }
        for name in ["DNS", "", "htt"] {
            assert_eq!(number(SERVICES, name), None, "{name}");
        }
    }
}
