//! What `guide/tool.md` says.

use std::fs;

use super::{
    network, operators,
    pages::{Machine, Page, ticket},
    scenes::{
        by_code, chat, counts, forwards, measures, packets_are_echoed, pings_directly,
        port_is_reached, proxy_reaches, serves, take,
    },
};
use crate::support::net;

#[test]
fn the_tool_from_its_first_day_on() {
    network::in_its_own("guide::tool::the_tool_from_its_first_day_on", || {
        let mut page = Page::of(include_str!("../../../guide/tool.md"));
        // It compiles for minutes what is tried here.
        page.next("cargo install --path conec-tokio --features cli");
        trial(&mut page);

        let [server, here, there] = [(); 3].map(|()| Machine::new());

        let mut coordinator = server.runs(page.next("conec coordinator --host conec.example.org"));
        let join = page
            .next("conec join TICKET")
            .replace("TICKET", &ticket(&mut coordinator));
        for machine in [&server, &here, &there] {
            machine.runs(&join).ended();
        }
        here.runs(page.next("conec doctor")).ended();

        files(&mut page, &here, &there);
        ports(&mut page, &here, &there);
        pipes(&mut page, &here, &there);
        groups(&mut page, &here, &there);
        questions(&mut page, &here, &there);
        checks(&mut page, &here, &there);
        coordinator.stop();
        for_operators(&mut page, &server, &here, &there);
        page.ends();
    });
}

fn trial(page: &mut Page) {
    let machine = Machine::new();
    let mut coordinator = machine.runs(page.next("conec coordinator --host localhost"));
    let ticket = ticket(&mut coordinator);
    let line = page.next("conec receive --name bob --coordinator TICKET");
    fs::create_dir(machine.home().join("there")).unwrap();
    let mut receiving = machine.runs(&format!("cd there; {}", line.replace("TICKET", &ticket)));
    receiving.shows("here as bob");
    machine.write("report.pdf", "all is well");
    let line = page.next("conec send report.pdf bob --coordinator TICKET");
    let sending = machine.runs(&line.replace("TICKET", &ticket));
    take(&mut receiving, sending);
    assert_eq!(machine.read("there/report.pdf"), "all is well");
    receiving.interrupt();
    coordinator.stop();
}

fn files(page: &mut Page, here: &Machine, there: &Machine) {
    here.write("report.pdf", "all is well");
    fs::create_dir(here.home().join("photos")).unwrap();
    here.write("photos/sea", "blue");

    let mut receiving = serves(
        there,
        page.next("conec receive ~/Downloads --name office"),
        "office",
    );
    let sending = here.runs(page.next("conec send report.pdf photos office"));
    take(&mut receiving, sending);
    assert_eq!(there.read("Downloads/report.pdf"), "all is well");
    assert_eq!(there.read("Downloads/photos/sea"), "blue");
    receiving.interrupt();

    let send = page.next("conec send --code report.pdf");
    by_code(here, send, there, page.next("conec receive --code"));
    assert_eq!(there.read("report.pdf"), "all is well");
}

fn ports(page: &mut Page, here: &Machine, there: &Machine) {
    net::turn_around("127.0.0.1:80");
    net::echo_packets("127.0.0.1:53");

    let exposing = serves(
        there,
        page.next("conec expose localhost:80 --udp localhost:53 --name office"),
        "office",
    );
    forwards(
        here,
        page.next("conec forward -L 8080:office:localhost:80"),
        || port_is_reached(8080),
    );

    forwards(
        here,
        page.next("conec forward -L 5353:office:localhost:53/udp"),
        || packets_are_echoed(5353),
    );

    forwards(here, page.next("conec forward -D 1080:office"), || {
        proxy_reaches(1080, 80)
    });

    let public = serves(
        there,
        page.next("conec expose --listen 8080 --name public"),
        "public",
    );
    forwards(
        here,
        page.next("conec forward -R 8080:public:localhost:80"),
        || port_is_reached(8080),
    );
    for running in [exposing, public] {
        running.interrupt();
    }
}

fn pipes(page: &mut Page, here: &Machine, there: &Machine) {
    let listening = serves(
        there,
        page.next("conec listen --name office --tcp localhost:22"),
        "office",
    );
    // As the tests of ssh have it, which need an sshd.
    page.next("ssh -o ProxyCommand='conec connect %h' office");
    listening.interrupt();

    let listening = serves(
        there,
        page.next("conec listen --name backup --exec 'cat > photos.tar' --once"),
        "backup",
    );
    here.runs(page.next("tar c photos | conec connect backup"))
        .ended();
    listening.ended();
    there.runs("tar xf photos.tar").ended();
    assert_eq!(there.read("photos/sea"), "blue");
}

fn groups(page: &mut Page, here: &Machine, there: &Machine) {
    let line = page.next("conec chat lobby --name alice --passphrase-file secret");
    chat(here, there, line);

    let mut hearing = there.runs(page.next("conec sub weather --history 10 --json"));
    hearing.shows("joined");
    here.runs(page.next("conec pub weather 'rain at noon'"))
        .ended();
    hearing.shows("rain at noon");
    hearing.interrupt();
}

fn questions(page: &mut Page, here: &Machine, there: &Machine) {
    let reply = page.next("conec reply --exec 'grep -c .' --name counter");
    let request = page.next("conec request counter < book.txt");
    counts(here, request, there, reply);
}

fn checks(page: &mut Page, here: &Machine, there: &Machine) {
    let status = here.runs(page.next("conec status")).ended();
    assert!(status.contains("conec.example.org"), "{status}");
    let serving = serves(
        there,
        page.next("conec bench --serve --name office"),
        "office",
    );
    pings_directly(here, page.next("conec ping office --until-direct"));
    let line = page.next("conec bench office");
    measures(here, line);
    serving.interrupt();
}

fn for_operators(page: &mut Page, server: &Machine, here: &Machine, there: &Machine) {
    let id = here.runs("conec id").ended();
    let line = page.next("conec coordinator --host conec.example.org --admin ID --metrics 9433");
    let mut coordinator = server.runs(&line.replace("ID", id.trim()));
    coordinator.shows("listening at");
    operators::operate(page, "conec ls --channels", here, there);
    coordinator.ended();
}
