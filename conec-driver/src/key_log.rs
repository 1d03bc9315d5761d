//! The secrets of TLS in a file.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use conec_core::rustls::KeyLog;

use crate::stored::is_private;

/// A file of TLS secrets (feature `key-log`), in the format that Wireshark and others read (`SSLKEYLOGFILE`), with which recorded packets can be
/// deciphered.
///
/// **Who has the file reads all that is said.** It is nothing for real use: an endpoint that uses it logs a warning with each handshake.
///
/// ```no_run
/// # fn run(mut config: conec_core::ClientConfig) -> std::io::Result<()> {
/// use conec_driver::KeyLogFile;
///
/// // Nothing is read from the environment by itself.
/// if let Some(path) = std::env::var_os("SSLKEYLOGFILE") {
///     let log = KeyLogFile::open(path)?;
///     config.home.key_log = Some(log.clone());
///     config.peer.key_log = Some(log);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Appends to the file, or makes it, for this user only (mode 0600). Fails if others can read a file that is there, where the system
    /// knows that (Unix).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Arc<Self>> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        if !is_private(&file)? {
            let error = "others can read the file: take their rights away (chmod 600)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, error));
        }
        Ok(Arc::new(Self(Mutex::new(file))))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = line(label, client_random, secret);
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As a whole, since other processes may append as well.
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "a secret of TLS was not logged");
        }
    }
}

fn line(label: &str, client_random: &[u8], secret: &[u8]) -> String {
    let mut line = label.to_owned();
    for bytes in [client_random, secret] {
        line.push(' ');
        for byte in bytes {
            // A string takes all.
            let _ = write!(line, "{byte:02x}");
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_appended_to_a_file_that_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        for _ in 0..2 {
            KeyLogFile::open(&path).unwrap().log("A", &[1, 0xab], &[2]);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "A 01ab 02\n".repeat(2));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            mode(0o640).unwrap();
            let error = KeyLogFile::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
