//! What a service manager (systemd) is told, where there is one.

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

/// It is there for others.
pub(super) fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again; [`ready`] follows.
pub(super) fn reloading() {
    #[cfg(target_os = "linux")]
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// It stops.
pub(super) fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Stopping]);
}

/// Shows that it is alive, as often as is wanted. Ends at once where it is not.
pub(super) async fn keep_watchdog() {
    #[cfg(target_os = "linux")]
    if let Some(time) = sd_notify::watchdog_enabled() {
        let mut every = tokio::time::interval(time / 2);
        loop {
            every.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(target_os = "linux")]
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
