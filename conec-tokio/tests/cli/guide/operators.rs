//! What operators do on several pages.

use super::{
    pages::{Machine, Page},
    scenes::serves,
};

/// From the list to the end of the Coordinator. `here` is an operator's, `there` another machine.
pub(super) fn operate(page: &mut Page, list: &'static str, here: &Machine, there: &Machine) {
    let mut mallory = serves(there, "conec ping --answer --name mallory", "mallory");
    let mut pinging = here.runs("conec ping mallory");
    pinging.shows("56 bytes from mallory");

    let listed = here.runs(page.next(list)).ended();
    assert!(listed.contains("mallory"), "{listed}");
    let mut top = here.runs(page.next("conec top"));
    top.shows("channels");
    top.interrupt();
    here.runs(page.next("conec kick mallory --forbid")).ended();
    mallory.shows("error");
    drop(pinging);
    here.runs(page.next("conec drain --to b.example.org:4433"))
        .ended();
}
