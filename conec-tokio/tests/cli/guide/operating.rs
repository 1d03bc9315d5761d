//! What `guide/operating.md` says.

use super::{
    network, operators,
    pages::{Machine, Page, ticket},
};

#[test]
fn a_coordinator_and_its_operators() {
    network::in_its_own("guide::operating::a_coordinator_and_its_operators", || {
        let mut page = Page::of(include_str!("../../../guide/operating.md"));
        let [server, here, there] = [(); 3].map(|()| Machine::new());
        page.next("cargo install --path conec-tokio --features cli");
        let mut coordinator = server.runs(page.next("conec coordinator --host conec.example.org"));
        let join = page
            .next("conec join conec1…")
            .replace("conec1…", &ticket(&mut coordinator));
        for machine in [&here, &there] {
            machine.runs(&join).ended();
        }
        let mut alice = there.runs(page.next("conec ping --answer --name alice"));
        alice.shows("here as alice");
        let mut pinging = here.runs(page.next("conec ping alice"));
        pinging.shows("56 bytes from alice");
        pinging.interrupt();
        alice.interrupt();
        coordinator.stop();

        let id = here.runs("conec id").ended();
        let mut coordinator = server.runs(&format!("conec coordinator --admin {}", id.trim()));
        coordinator.shows("listening at");
        operators::operate(&mut page, "conec ls", &here, &there);
        coordinator.ended();

        let line =
            page.next("CONEC_LOG='conec_core[channel{peer=k7x3mq2a}]=debug' conec coordinator");
        let mut coordinator = server.runs(&line.replace("k7x3mq2a", &id[..8]));
        coordinator.shows("conec://");
        here.runs("conec status").ended();
        coordinator.shows("DEBUG");
        page.next("RUST_LOG='conec_core[channel{id=ch7}]=trace' your-program");
        page.ends();
    });
}
