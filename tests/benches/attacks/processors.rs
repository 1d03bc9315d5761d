//! Who runs on which processors.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::result::Result;

/// The processors of this machine: the last one is for the attackers, whose machines are elsewhere, and all others for those
/// that are measured. Where there is only one, all share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processors {
    measured: CpuSet,
    last: CpuSet,
}

impl Processors {
    /// All that the calling thread may use.
    pub(crate) fn of_this_thread() -> Result<Self> {
        let all = sched_getaffinity(THIS_THREAD)?;
        let mut each = (0..CpuSet::count()).filter(|&it| all.is_set(it) == Ok(true));
        let (mut measured, mut last) = (CpuSet::new(), CpuSet::new());
        last.set(each.next_back().ok_or("no processor")?)?;
        each.try_for_each(|it| measured.set(it))?;
        if measured == CpuSet::new() {
            measured = last;
        }
        Ok(Self { measured, last })
    }

    /// Keeps the calling thread, and those that it starts from now on, to the processors that are measured.
    pub(crate) fn keep_to_measured(self) -> Result<()> {
        Ok(sched_setaffinity(THIS_THREAD, &self.measured)?)
    }

    /// The same with those of the attackers.
    pub(crate) fn keep_to_last(self) -> Result<()> {
        Ok(sched_setaffinity(THIS_THREAD, &self.last)?)
    }
}

const THIS_THREAD: Pid = Pid::from_raw(0);
