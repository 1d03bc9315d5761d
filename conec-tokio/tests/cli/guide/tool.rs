//! What `guide/tool.md` says.

use std::{fs, net::SocketAddr};

use super::{
    network, operators,
    pages::{Machine, Page, take, ticket},
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

    let mut receiving = there.runs(page.next("conec receive ~/Downloads --name office"));
    receiving.shows("here as office");
    let sending = here.runs(page.next("conec send report.pdf photos office"));
    take(&mut receiving, sending);
    assert_eq!(there.read("Downloads/report.pdf"), "all is well");
    assert_eq!(there.read("Downloads/photos/sea"), "blue");
    receiving.interrupt();

    let mut sending = here.runs(page.next("conec send --code report.pdf"));
    let screen = sending.shows("conec receive --code");
    let (code, _) = screen.split_once(char::is_whitespace).unwrap();
    let mut receiving = there.runs(page.next("conec receive --code"));
    receiving.types(&format!("{code}\n"));
    sending.ended();
    receiving.ended();
    assert_eq!(there.read("report.pdf"), "all is well");
}

fn ports(page: &mut Page, here: &Machine, there: &Machine) {
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    net::turn_around("127.0.0.1:80");
    net::echo_packets("127.0.0.1:53");

    let mut exposing =
        there.runs(page.next("conec expose localhost:80 --udp localhost:53 --name office"));
    exposing.shows("here as office");
    let mut forwarding = here.runs(page.next("conec forward -L 8080:office:localhost:80"));
    forwarding.shows("listening at");
    assert_eq!(net::asked(at(8080), b"abc"), b"cba");
    forwarding.interrupt();

    let mut forwarding = here.runs(page.next("conec forward -L 5353:office:localhost:53/udp"));
    forwarding.shows("listening at");
    let (packet, _) = net::echoed(&net::packets_to(at(5353)), b"name?");
    assert_eq!(packet, b"name?");
    forwarding.interrupt();

    let mut proxy = here.runs(page.next("conec forward -D 1080:office"));
    proxy.shows("listening at");
    let (answer, _) = net::socks(at(1080), "localhost", 80);
    assert_eq!(answer, 0);
    proxy.interrupt();

    let mut public = there.runs(page.next("conec expose --listen 8080 --name public"));
    public.shows("here as public");
    let mut forwarding = here.runs(page.next("conec forward -R 8080:public:localhost:80"));
    forwarding.shows("listening at");
    assert_eq!(net::asked(at(8080), b"abc"), b"cba");
    for running in [exposing, public, forwarding] {
        running.interrupt();
    }
}

fn pipes(page: &mut Page, here: &Machine, there: &Machine) {
    let mut listening = there.runs(page.next("conec listen --name office --tcp localhost:22"));
    listening.shows("here as office");
    // As the tests of ssh have it, which need an sshd.
    page.next("ssh -o ProxyCommand='conec connect %h' office");
    listening.interrupt();

    let mut listening =
        there.runs(page.next("conec listen --name backup --exec 'cat > photos.tar' --once"));
    listening.shows("here as backup");
    here.runs(page.next("tar c photos | conec connect backup"))
        .ended();
    listening.ended();
    there.runs("tar xf photos.tar").ended();
    assert_eq!(there.read("photos/sea"), "blue");
}

fn groups(page: &mut Page, here: &Machine, there: &Machine) {
    for machine in [here, there] {
        machine.write("secret", "a long and good passphrase\n");
    }
    let line = page.next("conec chat lobby --name alice --passphrase-file secret");
    let mut alice = here.runs(line);
    alice.shows("alice");
    let mut bob = there.runs(&line.replace("alice", "bob"));
    alice.shows("bob");
    bob.types("hello\n");
    alice.shows("hello");
    bob.interrupt();
    alice.interrupt();

    let mut hearing = there.runs(page.next("conec sub weather --history 10 --json"));
    hearing.shows("joined");
    here.runs(page.next("conec pub weather 'rain at noon'"))
        .ended();
    hearing.shows("rain at noon");
    hearing.interrupt();
}

fn questions(page: &mut Page, here: &Machine, there: &Machine) {
    here.write("book.txt", "one\ntwo\nthree\n");
    let mut replying = there.runs(page.next("conec reply --exec 'grep -c .' --name counter"));
    replying.shows("here as counter");
    let answer = here.runs(page.next("conec request counter < book.txt"));
    assert_eq!(answer.ended().trim(), "3");
    replying.interrupt();
}

fn checks(page: &mut Page, here: &Machine, there: &Machine) {
    let status = here.runs(page.next("conec status")).ended();
    assert!(status.contains("conec.example.org"), "{status}");
    let mut serving = there.runs(page.next("conec bench --serve --name office"));
    serving.shows("here as office");
    let pinged = here
        .runs(page.next("conec ping office --until-direct"))
        .ended();
    assert!(pinged.contains("directly"), "{pinged}");
    let line = page.next("conec bench office");
    let measured = here.runs(&format!("{line} --time 300ms")).ended();
    assert!(measured.contains("MB/s"), "{measured}");
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
