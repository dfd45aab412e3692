//! Control groups of version 2 as the kernel shows them (cgroups(7)): directories whose files list
//! the processes, report when the group is empty, and kill or freeze it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};

use crate::event::NoControlGroup;
use crate::os::directory;
use crate::os::procfs::{self, pid_in};
use crate::os::sys::{self, retry};
use crate::target::Pid;

/// A directory, by a descriptor that means this group even if another one takes its name.
pub struct Directory(OwnedFd);

/// The processes of a group and of all groups below it.
#[derive(Debug, Default)]
pub struct Members {
    pub pids: Vec<Pid>,
    /// Processes that have no PID here, because they live in another PID namespace.
    pub unseen: usize,
}

impl Directory {
    /// Opens a directory if it is a control group that can be a target.
    pub fn open(path: &Path) -> Result<Self, NoControlGroup> {
        let directory = sys::open(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let directory = Self(directory.map_err(refusal)?);
        directory.check()?;
        Ok(directory)
    }

    /// Why it cannot be a target.
    pub fn check(&self) -> Result<(), NoControlGroup> {
        let kind = retry(|| fstatfs(&self.0)).map_err(refusal)?;
        match kind.filesystem_type() {
            CGROUP2_SUPER_MAGIC => {}
            CGROUP_SUPER_MAGIC => return Err(NoControlGroup::Version1),
            _ => return Err(NoControlGroup::Other),
        }
        match read(&self.0, "cgroup.type") {
            // But not "domain invalid".
            Ok(kind) if kind.starts_with(b"domain") && !kind.ends_with(b"invalid\n") => Ok(()),
            Ok(_) => Err(NoControlGroup::Threaded),
            // The root has no such file, and a group that was removed has no file at all.
            Err(Errno::ENOENT) => {
                sys::open(&self.0, "cgroup.procs", OFlag::O_PATH).map_err(refusal)?;
                Err(NoControlGroup::Root)
            }
            Err(errno) => Err(refusal(errno)),
        }
    }

    /// The members of the group and of all below it. A group that was removed has none.
    ///
    /// Two descriptors are enough for groups nested as deep as their owner likes: a directory of a
    /// control group cannot be moved, so ".." is the one that was left.
    pub fn members(&self) -> nix::Result<Members> {
        let mut members = Members::default();
        let Some(mut directory) = unless_removed(directory::open(&self.0, "."))? else {
            return Ok(members);
        };
        // For each level down to this directory, what is left to be visited.
        let mut levels = vec![members.of(&directory)?];
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.pop() {
                if let Some(below) = unless_removed(directory::open(&directory, &*name))? {
                    directory = below;
                    levels.push(members.of(&directory)?);
                }
            } else {
                levels.pop();
                if !levels.is_empty() {
                    directory = directory::open(&directory, "..")?;
                }
            }
        }
        Ok(members)
    }

    /// cgroup.events, which wakes who polls it when the group becomes empty or populated, frozen
    /// or thawed.
    pub fn events(&self) -> nix::Result<InterfaceFile> {
        self.file("cgroup.events", OFlag::O_RDONLY)
    }

    /// The file that kills the whole group (Linux 5.14).
    pub fn kill(&self) -> nix::Result<InterfaceFile> {
        self.file("cgroup.kill", OFlag::O_WRONLY)
    }

    /// The file that freezes the whole group (Linux 5.2).
    pub fn freeze(&self) -> nix::Result<InterfaceFile> {
        self.file("cgroup.freeze", OFlag::O_RDWR)
    }

    fn file(&self, name: &str, mode: OFlag) -> nix::Result<InterfaceFile> {
        let file = sys::open(&self.0, name, mode)?;
        Ok(InterfaceFile(file.into()))
    }
}

impl Members {
    /// Takes the processes of one group; the names of the groups below it.
    fn of(&mut self, group: &OwnedFd) -> nix::Result<Vec<CString>> {
        let mut below = Vec::new();
        let listed = match read(group, "cgroup.procs") {
            // The processes of threaded groups are listed by the domain above them.
            Err(Errno::EOPNOTSUPP) => Vec::new(),
            listed => unless_removed(listed)?.unwrap_or_default(),
        };
        for line in listed.split(u8::is_ascii_whitespace) {
            self.pids.extend(pid_in(line));
            self.unseen += usize::from(line == b"0");
        }
        unless_removed(directory::each_entry(group, |entry| {
            below.extend(entry.is_directory().then(|| entry.name.to_owned()));
            Ok(())
        }))?;
        Ok(below)
    }
}

/// `None` for a group that was removed meanwhile.
fn unless_removed<T>(result: nix::Result<T>) -> nix::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn read(directory: impl AsFd, name: &str) -> nix::Result<Vec<u8>> {
    procfs::slurp_from(directory, name).map_err(|error| errno(&error))
}

fn refusal(errno: Errno) -> NoControlGroup {
    match errno {
        Errno::ENOENT | Errno::ENODEV => NoControlGroup::Missing,
        Errno::ENOTDIR => NoControlGroup::Other,
        errno => NoControlGroup::Refused(errno),
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A file of a control group that the kernel answers, open even if the group is removed.
pub struct InterfaceFile(File);

impl InterfaceFile {
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether a line stands in it. None does if the group was removed, for which it had to be
    /// empty.
    pub fn says(&self, line: &str) -> nix::Result<bool> {
        let mut text = [0; 128];
        match self.0.read_at(&mut text, 0).map_err(|error| errno(&error)) {
            Ok(length) => {
                let mut lines = text[..length].split(|byte| *byte == b'\n');
                Ok(lines.any(|known| known == line.as_bytes()))
            }
            Err(Errno::ENODEV) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Switches it by writing 1 or 0. ESRCH if the group was removed.
    pub fn write(&self, digit: &str) -> nix::Result<()> {
        let written = (&self.0).write_all(digit.as_bytes());
        match written.map_err(|error| errno(&error)) {
            Err(Errno::ENODEV) => Err(Errno::ESRCH),
            result => result,
        }
    }
}

/// The directories that a path may mean which /proc/PID/cgroup shows, one for each mount of the
/// hierarchy that has it.
pub fn directories(shown: &[u8]) -> nix::Result<Vec<PathBuf>> {
    let mounts = procfs::slurp("self/mountinfo").map_err(|error| errno(&error))?;
    Ok(mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|mount| place(mount, shown))
        .collect())
}

/// Where a line of mountinfo has a control group, if it is a mount of the hierarchy and has it.
fn place(mount: &[u8], shown: &[u8]) -> Option<PathBuf> {
    let mut fields = mount.split(|byte| *byte == b' ');
    let (root, point) = (unescaped(fields.nth(3)?), unescaped(fields.next()?));
    // Optional fields end with a dash, the type of the file system follows.
    fields.find(|field| *field == b"-")?;
    if fields.next()? != b"cgroup2" {
        return None;
    }
    let below = if root == b"/" {
        shown
    } else {
        shown.strip_prefix(&*root)?
    };
    let is_below = below.is_empty() || below.starts_with(b"/");
    let leaves = below.split(|byte| *byte == b'/').any(|part| part == b"..");
    (is_below && !leaves).then(|| PathBuf::from(OsStr::from_bytes(&[&*point, below].concat())))
}

/// A field of mountinfo, in which blanks, line ends and backslashes are octal numbers
/// (proc_pid_mountinfo(5)).
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        text.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_proc_shows_is_found_in_the_mounts_that_have_it() {
        let whole = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        let part = "42 31 0:38 /a\\040b /mnt/a\\134b rw - cgroup2 none rw";
        let table = [
            (whole, "/", Some("/sys/fs/cgroup/unified/")),
            (
                whole,
                "/user.slice/x",
                Some("/sys/fs/cgroup/unified/user.slice/x"),
            ),
            (whole, "/../x", None),
            (part, "/a b", Some("/mnt/a\\b")),
            (part, "/a b/c", Some("/mnt/a\\b/c")),
            (part, "/a bc", None),
            (part, "/", None),
            (
                "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer",
                "/x",
                None,
            ),
            ("23 1 0:5 / / rw - ext4 /dev/vda rw", "/x", None),
            ("", "/x", None),
        ];
        for (mount, shown, directory) in table {
            assert_eq!(
                place(mount.as_bytes(), shown.as_bytes()),
                directory.map(PathBuf::from),
                "{mount} {shown}"
            );
        }
    }
}
