//! The program that runs, as its executable file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;

use guildhall_shared::digest::Digest;

/// SHA-256 of the executable file, read once for the process; none where it cannot be read.
pub(super) fn digest() -> Option<Digest> {
    static DIGEST: OnceLock<Option<Digest>> = OnceLock::new();
    *DIGEST.get_or_init(|| Digest::of_reader(File::open(executable()?).ok()?).ok())
}

/// On Linux the file that this process was started from, also where another was put in its place since.
fn executable() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && own.exists() { Some(own) } else { std::env::current_exe().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_file_that_was_started() {
        let path = std::env::current_exe().expect("a path");
        let expected = Digest::of_bytes(&std::fs::read(path).expect("a file"));
        assert_eq!(digest(), Some(expected));
    }
}
