//! Signals by which a process is asked to stop.

/// Waits until somebody wants this process to stop: Ctrl-C, or a signal to terminate.
///
/// From the first call on, such signals do nothing but this.
pub(crate) async fn wanted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                () = interrupt() => {}
            }
            return;
        }
    }
    interrupt().await;
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        // The system does not tell: it ends the process by itself.
        std::future::pending().await
    }
}
