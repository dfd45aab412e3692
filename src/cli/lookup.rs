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
    match known {
        Some(hint) => error.hint(hint),
        None => error,
    }
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
        for (user, hint) in [
            ("0", "user-0.slice'"),
            ("root", "user-0.slice'"),
            ("1000", "user-1000.slice'"),
        ] {
            let error = complete(UsageError::new("").lookup(Lookup::User(user.into())));
            assert!(
                error.hint.is_some_and(|known| known.ends_with(hint)),
                "{user}"
            );
        }
        let unknown = UsageError::new("").lookup(Lookup::User("no such user".into()));
        assert_eq!(complete(unknown.clone()), unknown);
    }

    #[test]
    fn a_service_has_the_number_of_its_line() {
        let services =
            "# http\t1/tcp\n\ndomain\t\t53/udp\ndomain 53/tcp # DNS\nhttp\t80/tcp\twww\n";
        for (name, port) in [
            ("http", Some("80")),
            ("www", Some("80")),
            ("domain", Some("53")),
            ("DNS", None),
            ("", None),
            ("htt", None),
        ] {
            assert_eq!(number(services, name), port, "{name}");
        }
    }
}
