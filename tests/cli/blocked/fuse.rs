//! A file whose content never comes, and a process that holds the lock of its address space while
//! it waits for it, so that a read of its /proc/PID/cmdline blocks for ever.
#![expect(
    unsafe_code,
    reason = "mount(2) and umount2(2), which std does not offer"
)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::libc;

use crate::family::Family;
use crate::support::{TempDir, eventually, skip, tempdir};

/// A process whose command line cannot be read. It runs again on drop, and is killed.
pub struct Unreadable {
    // In this order: the process cannot die before the file is gone.
    _file: Silent,
    process: Family,
}

impl Unreadable {
    /// A process of NOBODY with this command name. To be used as root in a PID namespace. If that is
    /// not possible here, skips the test and returns `None`.
    pub fn named(name: &str) -> Option<Self> {
        let file = Silent::mount()?;
        let path = file.path().to_str().expect("UTF-8").to_owned();
        let mut process = Family::with_role(&format!("unreadable {path} {name}"));
        file.was_read.recv().expect("the file is mounted");
        process.write_line("go on");
        let is_blocked = || blocked_threads(process.pid()) == 1;
        eventually("a thread to wait for the lock", is_blocked);
        Some(Self {
            _file: file,
            process,
        })
    }

    pub fn arg(&self) -> String {
        self.process.arg()
    }

    #[track_caller]
    pub fn assert_untouched(&self) {
        let pending = self.process.status_field("ShdPnd");
        assert_eq!(pending.trim_start_matches('0'), "", "it has got a signal");
    }
}

/// A FUSE filesystem of one file, for which each read waits for ever.
struct Silent {
    dir: TempDir,
    was_read: Receiver<()>,
}

impl Silent {
    fn mount() -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = match device {
            Ok(device) => device,
            Err(error) => {
                skip(format!("no FUSE: {error}"));
                return None;
            }
        };
        let dir = tempdir();
        let (tell, was_read) = channel();
        let file = Self { dir, was_read };
        file.dir.file("silent", "");
        let options = format!(
            "fd={},rootmode=100644,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no NUL");
        // SAFETY: all strings live longer than the call.
        let mounted = unsafe {
            libc::mount(
                c"silent".as_ptr(),
                file.target().as_ptr(),
                c"fuse".as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV,
                options.as_ptr().cast(),
            )
        };
        if mounted < 0 {
            skip(format!("no FUSE: {}", std::io::Error::last_os_error()));
            return None;
        }
        thread::spawn(move || serve(device, &tell));
        Some(file)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("silent")
    }

    fn target(&self) -> CString {
        CString::new(self.path().as_os_str().as_bytes()).expect("no NUL in a path")
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // SAFETY: the string lives longer than the call. MNT_FORCE ends all requests with an error.
        unsafe { libc::umount2(self.target().as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    }
}

/// Answers the requests of the kernel (fuse(4)) but those to read, until the file is unmounted.
fn serve(mut device: File, was_read: &Sender<()>) {
    const GETATTR: u32 = 3;
    const OPEN: u32 = 14;
    const READ: u32 = 15;
    const INIT: u32 = 26;
    let mut request = vec![0_u8; 1 << 17];
    loop {
        match device.read(&mut request) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
            Err(_) => continue,
            Ok(_) => {}
        }
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("four"));
        let unique = &request[8..16];
        let (error, answer) = match word(4) {
            READ => {
                let _ = was_read.send(());
                continue;
            }
            // Version 7.31, and room for a page to be written.
            INIT => (0, words(&[7, 31, 0, 0, 0, 4096, 1, 0], 64)),
            OPEN => (0, words(&[], 16)),
            // Valid for a second; inode 1 of 4096 bytes; at 76 the mode and the number of links.
            GETATTR => {
                let mut words_of_file = [0; 22];
                (words_of_file[0], words_of_file[4], words_of_file[6]) = (1, 1, 4096);
                (words_of_file[19], words_of_file[20]) = (0o100_644, 1);
                (0, words(&words_of_file, 104))
            }
            _ => (-libc::ENOSYS, Vec::new()),
        };
        let length = u32::try_from(16 + answer.len()).expect("a short answer");
        let header = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), unique].concat();
        let _ = device.write_all(&[header, answer].concat());
    }
}

/// 32-bit words, filled up with zeros to this many bytes.
fn words(words: &[u32], length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(length, 0);
    bytes
}

fn blocked_threads(pid: i32) -> usize {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let threads = threads.flatten().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(") D ")).count()
}
