//! Keys that are made once and kept in files, so that who a program is lasts over a restart.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use conec_core::{CertificateError, Identity, KeyError, NoRandomness, Secret};
use tempfile::{NamedTempFile, PersistError};
use thiserror::Error;

/// Why a key could not be loaded, or made and stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it cannot be.
        #[source]
        error: io::Error,
    },
    /// Others can read the file, and so may have read the key.
    #[error(
        "{path} can be read by others: make a new key, or take their rights away (chmod 600) if you know that nobody has read it"
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold a Client's key.
    #[error("{path} holds no identity")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: KeyError,
    },
    /// The file does not hold a Coordinator's certificate and key.
    #[error("{path} holds no certificate with its key")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: CertificateError,
    },
    /// The operating system gave no randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A certificate for these host names cannot be made.
    #[cfg(feature = "self-signed")]
    #[error(transparent)]
    SelfSigned(#[from] conec_core::SelfSignedError),
}

/// The identity in a file, as PEM; a new one, which is stored there, if there is no such file.
///
/// A new file is there as a whole or not at all, whenever the machine stops, and nobody else can read it (mode 0600); of two
/// programs that make it at the same time, both have the same identity. Fails if others can read a file that is there, where the
/// system knows that (Unix).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("alice.pem");
/// let alice = conec_driver::load_or_create_identity(&path)?;
/// assert_eq!(conec_driver::load_or_create_identity(&path)?.id(), alice.id());
/// # Ok(())
/// # }
/// ```
pub fn load_or_create_identity(path: impl AsRef<Path>) -> Result<Identity, StoreError> {
    let path = path.as_ref();
    let create = || {
        let key = Identity::generate()?.to_pem();
        Ok(key.expect("it was made here, and is kept nowhere else"))
    };
    let text = load_or_create(path, create)?;
    Identity::from_pem(text.as_ref()).map_err(|error| {
        let path = path.into();
        StoreError::Identity { path, error }
    })
}

/// The certificate in a file, with its private key, as PEM; a new self-signed one, which is stored there, if there is no such file.
///
/// It is as [`load_or_create_identity`] has it. A new one is for these host names; those of one that is there are not looked at.
#[cfg(feature = "self-signed")]
pub fn load_or_create_certificate(
    path: impl AsRef<Path>,
    host_names: impl IntoIterator<Item = impl Into<String>>,
) -> Result<conec_core::Certificate, StoreError> {
    let path = path.as_ref();
    let create = || Ok(conec_core::Certificate::self_signed(host_names)?.to_pem());
    let text = load_or_create(path, create)?;
    load_certificate_text(path, text.as_ref())
}

/// The certificate in a file, with its private key, as PEM. Fails if others can read it, where the system knows that (Unix).
pub fn load_certificate(path: impl AsRef<Path>) -> Result<conec_core::Certificate, StoreError> {
    let path = path.as_ref();
    let text = load(path)?;
    load_certificate_text(path, text.as_ref())
}

fn load_certificate_text(path: &Path, text: &[u8]) -> Result<conec_core::Certificate, StoreError> {
    conec_core::Certificate::from_pem(text).map_err(|error| {
        let path = path.into();
        StoreError::Certificate { path, error }
    })
}

fn load_or_create(
    path: &Path,
    create: impl FnOnce() -> Result<Secret<Vec<u8>>, StoreError>,
) -> Result<Secret<Vec<u8>>, StoreError> {
    match load(path) {
        Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            store(path, create()?.as_ref()).map_err(|error| at(path, error))?;
            // Perhaps somebody else's.
            load(path)
        }
        loaded => loaded,
    }
}

fn load(path: &Path) -> Result<Secret<Vec<u8>>, StoreError> {
    let mut file = fs::File::open(path).map_err(|error| at(path, error))?;
    if !is_private(&file).map_err(|error| at(path, error))? {
        return Err(StoreError::NotPrivate { path: path.into() });
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)
        .map_err(|error| at(path, error))?;
    Ok(text.into())
}

/// Stores a text in a file that others cannot read, unless there is one by now.
fn store(path: &Path, text: &[u8]) -> io::Result<()> {
    match write(path, text, NamedTempFile::persist_noclobber) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

/// Stores a text in a file that others cannot read, in the place of one that is there. Whenever the machine stops, it is one of
/// them as a whole.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    write(path, text, NamedTempFile::persist)
}

/// Stores a text in a new file, which gets its name by `persist` once it is there as a whole.
fn write<'a>(
    path: &'a Path,
    text: &[u8],
    persist: fn(NamedTempFile, &'a Path) -> Result<fs::File, PersistError>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    persist(file, path).map_err(|failed| failed.error)?;
    // So that the name lasts, too.
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

pub(crate) fn is_private(file: &fs::File) -> io::Result<bool> {
    Ok(rights_of_others(file)? == 0)
}

/// Whether nobody else can write to a file.
pub(crate) fn is_private_to_write(file: &fs::File) -> io::Result<bool> {
    Ok(rights_of_others(file)? & 0o022 == 0)
}

#[cfg(unix)]
fn rights_of_others(file: &fs::File) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077)
}

#[cfg(not(unix))]
fn rights_of_others(_: &fs::File) -> io::Result<u32> {
    Ok(0)
}

fn at(path: &Path, error: io::Error) -> StoreError {
    let path = path.into();
    StoreError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn a_key_is_made_once_and_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.pem");
        let identity = load_or_create_identity(&path).unwrap();
        assert_eq!(load_or_create_identity(&path).unwrap().id(), identity.id());
        // Nothing else was left behind.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, 0o600);
            for open in [0o640, 0o604, 0o620] {
                mode(open);
                let refused = load_or_create_identity(&path);
                assert!(matches!(refused, Err(StoreError::NotPrivate { .. })));
            }
            mode(0o400);
            assert_eq!(load_or_create_identity(&path).unwrap().id(), identity.id());
        }
    }

    #[test]
    fn what_is_there_and_no_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.pem");
        store(&path, b"something else").unwrap();
        let refused = load_or_create_identity(&path);
        assert!(
            matches!(refused, Err(StoreError::Identity { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"something else");
        let refused = load_certificate(&path);
        assert!(
            matches!(refused, Err(StoreError::Certificate { .. })),
            "{refused:?}"
        );
        let nowhere = load_or_create_identity(folder.path().join("no such folder/key.pem"));
        assert!(matches!(nowhere, Err(StoreError::Io { .. })), "{nowhere:?}");
    }

    #[test]
    fn many_that_make_it_at_the_same_time_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.pem");
        let begin = Barrier::new(8);
        let ids = thread::scope(|scope| {
            let makers = [(); 8].map(|()| {
                scope.spawn(|| {
                    begin.wait();
                    load_or_create_identity(&path).unwrap().id()
                })
            });
            makers.map(|maker| maker.join().unwrap())
        });
        assert_eq!(ids, [ids[0]; 8]);
    }

    #[cfg(feature = "self-signed")]
    #[test]
    fn a_certificate_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        let certificate = load_or_create_certificate(&path, ["localhost"]).unwrap();
        let again = load_or_create_certificate(&path, ["elsewhere"]).unwrap();
        assert_eq!(again.pin(), certificate.pin());
        assert_eq!(load_certificate(&path).unwrap().pin(), certificate.pin());
    }
}
