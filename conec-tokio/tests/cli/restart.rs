//! A Coordinator that is killed, and started again.

use crate::support::{Coordinator, Home};

/// What is left of a Coordinator that was killed: its state, and where it was to be found.
pub(crate) struct Killed {
    home: Home,
    address: String,
}

impl Coordinator {
    /// Kills it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) -> Killed {
        let address = self.address();
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
        Killed {
            home: self.home,
            address,
        }
    }
}

impl Killed {
    /// Starts another one with the same state at the same place.
    pub(crate) fn start(self) -> Coordinator {
        Coordinator::start_in(self.home, &self.address, &[])
    }
}
