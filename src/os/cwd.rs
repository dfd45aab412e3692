//! Working directories: whether a process works in a directory or below, whatever it is called
//! where the process sees it. To follow a working directory may block on a dead file system; `proc`
//! bounds it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::os::procfs;
use crate::os::sys;
use crate::target::Pid;

/// A directory that processes may work in, or below.
#[derive(Clone, Debug)]
pub struct Place {
    /// `None` if it was removed: then only its path is known.
    directory: Option<Identity>,
    /// Absolute, without symbolic links.
    path: PathBuf,
}

impl Place {
    /// What a path means now. `InvalidInput` for the root directory: everybody works below it.
    pub fn of(directory: &OsStr) -> io::Result<Self> {
        let path = resolve(Path::new(directory))?;
        let directory = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Some(identity(&found)),
            Ok(_) => return Err(ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if directory == Some(identity(&fs::metadata("/")?)) {
            let why = "it is the root directory";
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
        Ok(Self { directory, path })
    }

    /// Whether the working directory of a process is this directory or below. May block.
    pub fn has(&self, pid: Pid) -> io::Result<bool> {
        let Some((link, text)) = link(pid)? else {
            return Ok(false);
        };
        let cwd = match procfs::open(&link, DIRECTORY) {
            // It exits, and has let go of its directory.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            cwd => cwd?,
        };
        let own = identity(&cwd.metadata()?);
        let is_below = |place| is_in_or_below(cwd, place);
        if self.directory.map_or(Ok(false), is_below)? {
            return Ok(true);
        }
        // A removed directory has a path only; one that is there may be called so, too.
        let Some(removed) = text.as_bytes().strip_suffix(b" (deleted)") else {
            return Ok(false);
        };
        if fs::metadata(&text).is_ok_and(|named| identity(&named) == own) {
            return Ok(false);
        }
        Ok(
            Path::new(OsStr::from_bytes(removed)).starts_with(&self.path)
                && procfs::link(&format!("{pid}/ns/mnt"))? == procfs::link("self/ns/mnt")?,
        )
    }
}

/// The link to the working directory of a process, and its text. `None` for a zombie, which works
/// nowhere; a process whose main thread has exited has another thread's.
pub fn link(pid: Pid) -> io::Result<Option<(String, OsString)>> {
    let of_main = format!("{pid}/cwd");
    match procfs::link(&of_main) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        text => return Ok(Some((of_main, text?))),
    }
    for thread in procfs::numbers(&format!("{pid}/task"))? {
        let of_thread = format!("{pid}/task/{thread}/cwd");
        if let Ok(text) = procfs::link(&of_thread) {
            return Ok(Some((of_thread, text)));
        }
    }
    Ok(None)
}

/// A directory that is looked at, and not read.
const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

/// Device and inode: the same directory, under whatever path.
type Identity = (u64, u64);

fn identity(directory: &Metadata) -> Identity {
    (directory.dev(), directory.ino())
}

/// Whether a directory is this one, or has it above itself.
fn is_in_or_below(mut directory: File, place: Identity) -> io::Result<bool> {
    let mut here = identity(&directory.metadata()?);
    // The root directory is its own parent. So looks a directory that is mounted on one below it,
    // but not twice in a row.
    let mut repeated = 0;
    while here != place && repeated < 2 {
        directory = sys::open(&directory, "..", DIRECTORY)?.into();
        let above = identity(&directory.metadata()?);
        repeated = if above == here { repeated + 1 } else { 0 };
        here = above;
    }
    Ok(here == place)
}

/// An absolute path without symbolic links, as far as it exists.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(error), Some(above), Some(name)) if error.kind() == ErrorKind::NotFound => {
            let is_here = above.as_os_str().is_empty();
            let above = if is_here { Path::new(".") } else { above };
            Ok(resolve(above)?.join(name))
        }
        (resolved, ..) => resolved,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;
    use crate::os::procfs::pid_of;

    fn pid(number: u32) -> Pid {
        let number = i32::try_from(number).ok().and_then(pid_of);
        number.expect("a process has a PID")
    }

    #[test]
    fn a_removed_directory_is_known_by_its_path() {
        let above = std::env::temp_dir().join(format!("sigsend-cwd-{}", std::process::id()));
        let (app, named_so) = (above.join("app"), above.join("app (deleted)"));
        for directory in [&above, &app, &named_so] {
            fs::create_dir(directory).expect("a directory of ours");
        }
        let start = |directory| {
            let mut sleep = Command::new("sleep");
            sleep
                .arg("60")
                .current_dir(directory)
                .spawn()
                .expect("sleep starts")
        };
        let works_in = |child: &Child, directory: &Path| {
            let place = Place::of(directory.as_os_str()).expect("it is no root directory");
            place.has(pid(child.id())).expect("of a child")
        };
        let (mut removed, mut other) = (start(&app), start(&named_so));
        let before = works_in(&removed, &app);
        fs::remove_dir(&app).expect("a directory of ours");
        let after = works_in(&removed, &app);
        fs::create_dir(&app).expect("the name is free");
        let renewed = works_in(&removed, &app);
        let apart = works_in(&other, &app) || works_in(&removed, &named_so);
        let whole = works_in(&removed, &above) && works_in(&other, &above);
        for child in [&mut removed, &mut other] {
            child
                .kill()
                .and_then(|()| child.wait())
                .expect("it is a child");
        }
        fs::remove_dir_all(&above).expect("a directory of ours");
        assert_eq!(
            (before, after, renewed, apart, whole),
            (true, true, true, false, true)
        );
    }

    #[test]
    fn a_zombie_works_nowhere() {
        let mut child = Command::new("true").spawn().expect("true starts");
        let of_child = pid(child.id());
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(of_child.process()), ended).expect("it is a child");
        let place = Place::of(OsStr::new("..")).expect("it exists");
        let works = place.has(of_child).expect("of a child");
        child.wait().expect("it is a child");
        let gone = place.has(of_child).expect_err("nobody has the PID");
        assert_eq!((works, gone.kind()), (false, ErrorKind::NotFound));
    }

    #[test]
    fn the_root_directory_and_files_are_no_places() {
        for (path, kind) in [
            ("/", ErrorKind::InvalidInput),
            ("/proc/..", ErrorKind::InvalidInput),
            ("//.", ErrorKind::InvalidInput),
            ("", ErrorKind::NotFound),
            ("/proc/self/status", ErrorKind::NotADirectory),
        ] {
            let error = Place::of(OsStr::new(path)).expect_err(path);
            assert_eq!(error.kind(), kind, "{path}");
        }
    }
}
