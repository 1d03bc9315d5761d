//! A Coordinator that runs, and all who have to do with it: its own loop, operators, and what is measured.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conec_tokio::{ClientId, Coordinator, Drain};
use tokio::sync::mpsc;

use super::{admission::Admission, announce::Announcement, plan::Plan, state::State};
use crate::failure::Failure;

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Office(Arc<Inner>);

struct Inner {
    coordinator: Coordinator,
    state: State,
    host: String,
    admission: Mutex<Admission>,
    /// Held while the list of the forbidden is changed.
    forbidding: Mutex<()>,
    drains: mpsc::Sender<Drain>,
}

impl Office {
    /// And where it hears that an operator wants it drained.
    pub(super) fn new(
        coordinator: Coordinator,
        state: State,
        host: String,
        admission: Admission,
    ) -> (Self, mpsc::Receiver<Drain>) {
        let (drains, drained) = mpsc::channel(1);
        let inner = Inner {
            coordinator,
            state,
            host,
            admission: Mutex::new(admission),
            forbidding: Mutex::new(()),
            drains,
        };
        (Self(Arc::new(inner)), drained)
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.0.coordinator
    }

    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        let admission = self.0.admission.lock();
        admission.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_admin(&self, id: ClientId) -> bool {
        self.admission().is_admin(id)
    }

    /// How others find it. The ticket is kept in the state.
    pub(super) fn announce(&self) -> Result<Announcement, Failure> {
        let token = self.admission().token().clone();
        let announcement = Announcement::new(self.coordinator(), &self.0.host, &token)?;
        self.0.state.keep_ticket(&announcement.ticket)?;
        Ok(announcement)
    }

    /// Takes up what can be changed while it runs. All or nothing.
    pub(super) fn take_up(&self, plan: &Plan) -> Result<(), Failure> {
        let _forbidding = self.forbidding();
        let admission = Admission::new(plan, &self.0.state)?;
        self.coordinator().set_rules(admission.rules.clone());
        *self.admission() = admission;
        self.keep_revocations()?;
        self.announce()?;
        Ok(())
    }

    /// Keeps somebody out, from now on and after each start.
    pub(crate) fn forbid(&self, id: ClientId) -> Result<(), Failure> {
        let _forbidding = self.forbidding();
        let mut all = self.0.state.forbidden()?;
        if !all.contains(&id) {
            all.push(id);
            self.0.state.keep_forbidden(&all)?;
        }
        self.coordinator().forbid(id);
        self.keep_revocations()
    }

    /// Channels that were taken away stay so when the Coordinator is started anew.
    pub(super) fn keep_revocations(&self) -> Result<(), Failure> {
        self.0
            .state
            .keep_revocations(&self.coordinator().revocations())
    }

    /// Takes that back. Whether it was so.
    pub(crate) fn permit(&self, id: ClientId) -> Result<bool, Failure> {
        let _forbidding = self.forbidding();
        let mut all = self.0.state.forbidden()?;
        let before = all.len();
        all.retain(|it| *it != id);
        self.0.state.keep_forbidden(&all)?;
        self.coordinator().permit(id);
        Ok(all.len() < before)
    }

    /// Has it drained, and then stopped. Whether it is not being so already.
    pub(crate) fn drain(&self, drain: Drain) -> bool {
        self.0.drains.try_send(drain).is_ok()
    }

    fn forbidding(&self) -> MutexGuard<'_, ()> {
        let forbidding = self.0.forbidding.lock();
        forbidding.unwrap_or_else(PoisonError::into_inner)
    }
}
