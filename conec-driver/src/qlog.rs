//! What the QUIC engine does, in files.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use conec_core::{Qlog, QlogConnection};

/// A folder of qlogs (feature `qlog`), a file for each connection: what the QUIC engine does with each packet, for tools such as qvis.
///
/// Files are called `PROCESS-NUMBER-begun.sqlog` where this end has begun the connection, and `PROCESS-NUMBER-accepted.sqlog` where it has not. They
/// are complete when their connections are over, and grow by hundreds of bytes for each packet, without bound: it is nothing for
/// real use. Logging holds up the endpoint, as it writes files.
///
/// ```no_run
/// # fn run(mut config: conec_core::ClientConfig) -> std::io::Result<()> {
/// use conec_driver::QlogFolder;
///
/// let qlogs = QlogFolder::new("qlogs", 100)?;
/// config.home.qlog = Some(qlogs.clone());
/// config.peer.qlog = Some(qlogs);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct QlogFolder {
    path: PathBuf,
    begun: AtomicUsize,
    most: usize,
}

impl QlogFolder {
    /// Logs into this folder, which is made where it is not there, the first so many connections: at a Coordinator, those of
    /// strangers count.
    pub fn new(path: impl Into<PathBuf>, most: usize) -> io::Result<Arc<Self>> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        tracing::warn!(path = %path.display(), "what the QUIC engine does is logged, which takes time and room");
        let begun = AtomicUsize::new(0);
        Ok(Arc::new(Self { path, begun, most }))
    }
}

impl Qlog for QlogFolder {
    fn begin(&self, connection: &QlogConnection) -> Option<Box<dyn Write + Send + Sync>> {
        let count = |begun| (begun < self.most).then_some(begun + 1);
        let relaxed = Ordering::Relaxed;
        let number = self.begun.fetch_update(relaxed, relaxed, count).ok()?;
        let end = match connection.is_initiator {
            true => "begun",
            false => "accepted",
        };
        let name = format!("{}-{number}-{end}.sqlog", std::process::id());
        match File::create_new(self.path.join(&name)) {
            Ok(file) => {
                tracing::debug!(%name, ?connection, "logging what the QUIC engine does");
                Some(Box::new(BufWriter::new(file)))
            }
            Err(error) => {
                tracing::warn!(%name, %error, "cannot log what the QUIC engine does");
                None
            }
        }
    }
}
