//! Errors of the system in words, which are the same in every build.

use std::io;

use nix::errno::Errno;

/// What strerror(3) of glibc says where that of musl says something else.
const WORDS: [(Errno, &str); 14] = [
    (Errno::EIO, "Input/output error"),
    (Errno::ENOMEM, "Cannot allocate memory"),
    (Errno::EBUSY, "Device or resource busy"),
    (Errno::EMFILE, "Too many open files"),
    (Errno::ENAMETOOLONG, "File name too long"),
    (Errno::ELOOP, "Too many levels of symbolic links"),
    (Errno::EOVERFLOW, "Value too large for defined data type"),
    (Errno::EMSGSIZE, "Message too long"),
    (Errno::EOPNOTSUPP, "Operation not supported"),
    (Errno::ECONNABORTED, "Software caused connection abort"),
    (Errno::ENOTCONN, "Transport endpoint is not connected"),
    (Errno::ETIMEDOUT, "Connection timed out"),
    (Errno::EUCLEAN, "Structure needs cleaning"),
    (Errno::EDQUOT, "Disk quota exceeded"),
];

/// strerror(3).
pub fn errno_words(errno: Errno) -> String {
    plain(&errno.into())
}

/// An error of the system without the number that the standard library adds.
pub fn plain(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    if let Some((_, words)) = WORDS.iter().find(|(listed, _)| Some(*listed) == errno) {
        return (*words).to_owned();
    }
    let text = error.to_string();
    text.split(" (os error ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_env = "gnu")]
    fn the_words_are_those_of_glibc() {
        for (errno, words) in WORDS {
            let text = io::Error::from(errno).to_string();
            assert!(text.starts_with(&format!("{words} (os error ")), "{text}");
        }
    }

    #[test]
    fn an_error_has_words_and_no_number() {
        assert_eq!(errno_words(Errno::EMFILE), "Too many open files");
        assert_eq!(errno_words(Errno::ENOSPC), "No space left on device");
        assert_eq!(plain(&io::Error::other("something else")), "something else");
    }
}
