//! What the commands' own help gives as examples.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{
    network,
    pages::{Machine, Page, ticket},
    scenes::{
        by_code, chat, counts, forwards, measures, packets_are_echoed, pings_directly,
        port_is_reached, proxy_reaches, serves, take,
    },
};
use crate::support::{Terminal, net};

#[test]
fn all_examples_work() {
    network::in_its_own("guide::help::all_examples_work", || {
        let mut help = Page::of_help();
        let [server, here, there] = [(); 3].map(|()| Machine::new());
        let coordinator = join(&mut help, &server, &here, &there);
        look_around(&mut help, &here);
        pipes(&mut help, &here, &there);
        ports(&mut help, &here, &there);
        files(&mut help, &here, &there);
        groups(&mut help, &here, &there);
        questions(&mut help, &here, &there);
        checks(&mut help, &here, &there);
        coordinator.stop();
        operate(&mut help, &server, &here, &there);
        help.ends();
    });
}

fn join(help: &mut Page, server: &Machine, here: &Machine, there: &Machine) -> Terminal {
    let mut coordinator = server.runs(help.has("conec coordinator --host conec.example.org"));
    let ticket = ticket(&mut coordinator);
    let mut joining = here.runs(help.has("conec join"));
    joining.types(&format!("{ticket}\n"));
    joining.ended();
    here.runs(&format!("conec join --as office {ticket}"))
        .ended();
    here.runs(help.has("conec context use office")).ended();
    program(
        there,
        "ssh",
        &format!("[ \"$*\" = 'server cat ticket' ] && echo {ticket}"),
    );
    there
        .runs(help.has("ssh server cat ticket | conec join -"))
        .ended();
    coordinator
}

fn look_around(help: &mut Page, here: &Machine) {
    let id = here.runs(help.has("conec id")).ended();
    assert!(!id.trim().is_empty());
    let status = here.runs(help.has("conec status")).ended();
    assert!(status.contains("conec.example.org"), "{status}");
    fs::create_dir_all(here.home().join(".local/share/bash-completion/completions")).unwrap();
    let line = "conec completions bash > ~/.local/share/bash-completion/completions/conec";
    here.runs(help.has(line)).ended();
    program(here, "man", "[ \"$*\" = '-l -' ] && cat");
    let page = here.runs(help.has("conec man ping | man -l -")).ended();
    assert!(page.contains(".TH"), "{page}");
}

fn pipes(help: &mut Page, here: &Machine, there: &Machine) {
    let listening = serves(
        there,
        help.has("conec listen --name office --tcp localhost:22"),
        "office",
    );
    // As the tests of ssh have it, which need an sshd.
    help.has("ssh -o ProxyCommand='conec connect %h' office");
    listening.interrupt();

    let line = help.has("conec listen --name backup --exec 'cat > photos.tar' --once");
    let listening = serves(there, line, "backup");
    fs::create_dir(here.home().join("photos")).unwrap();
    here.write("photos/sea", "blue");
    here.runs(help.has("tar c photos | conec connect backup"))
        .ended();
    listening.ended();
    assert!(there.read("photos.tar").contains("blue"));

    let listening = serves(
        there,
        help.has("conec listen --name inbox < /dev/null > received"),
        "inbox",
    );
    here.runs("echo hello | conec connect inbox").ended();
    listening.ended();
    assert_eq!(there.read("received"), "hello\n");
}

fn ports(help: &mut Page, here: &Machine, there: &Machine) {
    here.runs("ip address add 10.0.0.1/32 dev lo").ended();
    net::turn_around("127.0.0.1:80");
    net::turn_around("127.0.0.1:443");
    net::echo_packets("10.0.0.1:53");

    let line = help.has("conec expose localhost:80 localhost:8000-8010 --name office");
    let exposing = serves(there, line, "office");
    forwards(
        here,
        help.has("conec forward -L 8080:office:localhost:80"),
        || port_is_reached(8080),
    );
    forwards(here, help.has("conec forward -D 1080:office"), || {
        proxy_reaches(1080, 80)
    });
    exposing.interrupt();

    let line = help.has("conec expose --udp 10.0.0.1:53 --allow laptop");
    let exposing = serves(there, &format!("{line} --name office"), "office");
    let line = help.has("conec forward -L 5353:office:10.0.0.1:53/udp");
    forwards(here, &format!("{line} --name laptop"), || {
        packets_are_echoed(5353)
    });
    exposing.interrupt();

    let exposing = serves(there, help.has("conec expose '*:443' --name exit"), "exit");
    forwards(here, "conec forward -D 1080:exit", || {
        proxy_reaches(1080, 443)
    });
    exposing.interrupt();

    let public = serves(
        there,
        help.has("conec expose --listen 8080 --name public"),
        "public",
    );
    forwards(
        here,
        help.has("conec forward -R 8080:public:localhost:80"),
        || port_is_reached(8080),
    );
    public.interrupt();
}

fn files(help: &mut Page, here: &Machine, there: &Machine) {
    here.write("report.pdf", "all is well");
    let mut receiving = serves(there, help.has("conec receive --name office"), "office");
    let sending = here.runs(help.has("conec send report.pdf photos office"));
    take(&mut receiving, sending);
    assert_eq!(there.read("photos/sea"), "blue");
    receiving.interrupt();

    let mut receiving = serves(
        there,
        help.has("conec receive ~/Downloads --name office"),
        "office",
    );
    let sending = here.runs("conec send report.pdf office");
    take(&mut receiving, sending);
    assert_eq!(there.read("Downloads/report.pdf"), "all is well");
    receiving.interrupt();

    fs::remove_file(there.home().join("report.pdf")).unwrap();
    let line = help.has("conec receive --yes --once --from laptop --name office");
    let receiving = serves(there, line, "office");
    here.runs("conec send report.pdf office --name laptop")
        .ended();
    receiving.ended();
    assert_eq!(there.read("report.pdf"), "all is well");

    fs::remove_file(there.home().join("report.pdf")).unwrap();
    let send = help.has("conec send --code report.pdf");
    by_code(here, send, there, help.has("conec receive --code"));
    assert_eq!(there.read("report.pdf"), "all is well");
}

fn groups(help: &mut Page, here: &Machine, there: &Machine) {
    let mut hearing = there.runs(help.has("conec sub weather"));
    hearing.shows("in weather");
    here.runs(help.has("conec pub weather 'rain at noon'"))
        .ended();
    hearing.shows("rain at noon");
    hearing.interrupt();

    let line = help.has("conec chat lobby --name alice --passphrase-file secret");
    chat(here, there, line);

    here.write("log", "all is well\n");
    let line = help.has("conec sub logs --history 100 --json --passphrase-file secret");
    let mut hearing = there.runs(line);
    hearing.shows("joined");
    let publishing = here.runs(help.has("tail -f log | conec pub logs --passphrase-file secret"));
    hearing.shows("all is well");
    drop(publishing);
    hearing.interrupt();
}

fn questions(help: &mut Page, here: &Machine, there: &Machine) {
    let reply = help.has("conec reply --exec 'grep -c .' --name counter");
    let request = help.has("conec request counter < book.txt");
    counts(here, request, there, reply);

    let replying = serves(there, "conec reply --exec 'tr w c' --name office", "office");
    let answer = here.runs(help.has("conec request office 'how warm is it?'"));
    assert!(answer.ended().contains("hoc carm is it?"));
    replying.interrupt();
}

fn checks(help: &mut Page, here: &Machine, there: &Machine) {
    let answering = serves(
        there,
        help.has("conec ping --answer --name office"),
        "office",
    );
    pings_directly(here, help.has("conec ping office --until-direct"));
    answering.interrupt();

    let serving = serves(
        there,
        help.has("conec bench --serve --name office"),
        "office",
    );
    let line = help.has("conec bench office");
    measures(here, line);
    serving.interrupt();

    here.runs(help.has("conec doctor --bundle report.txt"))
        .ended();
    assert!(here.read("report.txt").contains("conec"));
}

fn operate(help: &mut Page, server: &Machine, here: &Machine, there: &Machine) {
    let mut coordinator = server.runs(help.has("conec coordinator --metrics 9433"));
    coordinator.shows("127.0.0.1:9433");
    coordinator.stop();

    let [my_id, its_id] = [here, there].map(|it| it.runs("conec id").ended());
    let line = format!(
        "conec coordinator --host conec.example.org --admin {}",
        my_id.trim()
    );
    let mut coordinator = server.runs(&line);
    coordinator.shows("listening at");
    let answer = || serves(there, "conec ping --answer --name office", "office");
    let office = answer();
    let listed = here.runs(help.has("conec ls")).ended();
    assert!(listed.contains("office"), "{listed}");
    here.runs(help.has("conec ls --channels --json")).ended();
    let mut top = here.runs(help.has("conec top --interval 5s"));
    top.shows("channels");
    top.interrupt();
    here.runs(help.has("conec kick office")).ended();
    drop(office);
    let mut office = answer();
    here.runs(help.has("conec kick office --forbid")).ended();
    office.shows("error");
    let line = help
        .has("conec kick --permit ID")
        .replace("ID", its_id.trim());
    here.runs(&line).ended();
    answer().interrupt();
    here.runs(help.has("conec drain --to backup.example.org:4433 --within 1m"))
        .ended();
    coordinator.ended();
}

/// A program that machines have, or a stand-in for it.
fn program(machine: &Machine, name: &str, script: &str) {
    let file = format!("bin/{name}");
    machine.write(&file, &format!("#!/bin/sh\n{script}\n"));
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(machine.home().join(file), executable).unwrap();
}
