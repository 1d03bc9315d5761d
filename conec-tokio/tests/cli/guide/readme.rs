//! What README.md says of the tool.

use super::{
    network,
    pages::{Machine, Page, ticket},
    scenes::take,
};

#[test]
fn the_tool_in_five_lines() {
    network::in_its_own("guide::readme::the_tool_in_five_lines", || {
        let mut page = Page::of_prompts(include_str!("../../../../README.md"));
        let [server, alice, bob] = [(); 3].map(|()| Machine::new());

        page.next("server$ conec coordinator --host conec.example.org");
        let mut coordinator = server.runs("conec coordinator --host conec.example.org");
        let join = format!("conec join {}", ticket(&mut coordinator));

        page.next("alice$  conec join TICKET");
        alice.runs(&join).ended();
        page.next("bob$    conec join TICKET");
        bob.runs(&join).ended();

        page.next("bob$    conec receive --name bob");
        let mut receiving = bob.runs("conec receive --name bob");
        receiving.shows("here as bob");

        alice.write("holiday.mp4", "the sea");
        page.next("alice$  conec send holiday.mp4 bob");
        let sending = alice.runs("conec send holiday.mp4 bob");
        take(&mut receiving, sending);
        assert_eq!(bob.read("holiday.mp4"), "the sea");

        page.ends();
    });
}
