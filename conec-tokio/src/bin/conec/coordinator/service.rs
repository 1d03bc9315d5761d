//! What a service manager (systemd) is told, where there is one.

use std::time::Duration;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

use super::office::Office;

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

/// It stops, within this time and a little more.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "there is nobody to be told")
)]
pub(super) fn stopping(within: Duration) {
    #[cfg(target_os = "linux")]
    {
        let time = within.saturating_add(MARGIN).as_micros();
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(time)]);
    }
}

/// Shows that it is alive, as often as is wanted, as long as it answers. Ends at once where that is not wanted.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "there is nobody to be told")
)]
pub(super) async fn keep_watchdog(office: Office) {
    #[cfg(target_os = "linux")]
    if let Some(time) = sd_notify::watchdog_enabled() {
        let mut every = tokio::time::interval(time / 2);
        loop {
            every.tick().await;
            let clients = office.coordinator().clients();
            tracing::trace!(clients, "alive");
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

/// For what is left to do when all Clients are gone.
#[cfg(target_os = "linux")]
const MARGIN: Duration = Duration::from_secs(10);
