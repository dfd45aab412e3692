//! Directories: their entries and links, without an allocation for each. /proc has a hundred
//! thousand of them.

#![expect(unsafe_code, reason = "system calls that no safe wrapper exists for")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use crate::os::sys;

/// What getdents64(2) writes: `linux_dirent64`, one behind the other.
#[repr(align(8))]
struct Entries([u8; 8192]);

/// Where the fields of a `linux_dirent64` begin.
const SIZE: usize = 16;
const KIND: usize = 18;
const NAME: usize = 19;

/// An entry of a directory.
pub struct Entry<'a> {
    pub name: &'a CStr,
    kind: u8,
}

impl Entry<'_> {
    pub fn is_directory(&self) -> bool {
        self.kind == libc::DT_DIR
    }
}

/// Opens a directory for [`each_entry`], by a path from another one.
pub fn open(from: impl AsFd, path: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    sys::open(from, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// Visits the entries of a directory, from where its descriptor stands.
pub fn each_entry<E: From<Errno>>(
    directory: impl AsFd,
    mut visit: impl FnMut(Entry) -> Result<(), E>,
) -> Result<(), E> {
    let directory = directory.as_fd().as_raw_fd();
    let mut entries = Entries([0; 8192]);
    loop {
        let (start, size) = (entries.0.as_mut_ptr(), entries.0.len());
        // SAFETY: the kernel writes at most `size` bytes, into a buffer that has as many.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, directory, start, size) };
        let length = usize::try_from(Errno::result(read)?).unwrap_or(0);
        if length == 0 {
            return Ok(());
        }
        let mut left = &entries.0[..length];
        while let [_, ..] = left {
            let size = usize::from(u16::from_ne_bytes([left[SIZE], left[SIZE + 1]]));
            let name = CStr::from_bytes_until_nul(&left[NAME..size]);
            let name = name.expect("the kernel ends each name with a NUL");
            if !matches!(name.to_bytes(), b"." | b"..") {
                let kind = left[KIND];
                visit(Entry { name, kind })?;
            }
            left = &left[size..];
        }
    }
}

/// The text of a symbolic link in a directory, as far as it fits.
pub fn read_link<'a>(
    directory: impl AsFd,
    name: &CStr,
    text: &'a mut [u8],
) -> nix::Result<&'a [u8]> {
    let directory = directory.as_fd().as_raw_fd();
    let (start, size) = (text.as_mut_ptr().cast(), text.len());
    // SAFETY: the name ends with a NUL, and the kernel writes at most `size` bytes into the text.
    let read = unsafe { libc::readlinkat(directory, name.as_ptr(), start, size) };
    let length = usize::try_from(Errno::result(read)?).unwrap_or(0);
    Ok(&text[..length])
}
