//! The status page in a browser.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::metrics::{Scene, office};

#[test]
fn a_client_that_joins_is_seen_on_the_page() {
    let Some(browser) = browser() else {
        eprintln!("skipped: Chromium is not installed");
        return;
    };
    let scene = Scene::new();
    let address = with_something_slow(scene.at.clone());
    let seen = || {
        let profile = tempfile::tempdir().unwrap();
        let shown = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{address}/"))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    let clients = |page: &str| {
        let (_, tile) = page.split_once(">Clients</span><b>").unwrap();
        tile.split_once('<').unwrap().0.to_owned()
    };
    let before = seen();
    assert_eq!(clients(&before), "0", "{before}");
    assert!(!before.contains("office"), "{before}");
    let (_home, _office) = office(&scene.coordinator);
    let after = seen();
    assert_eq!(clients(&after), "1", "{after}");
    assert!(after.contains("office"), "{after}");
}

/// What the browser is called here.
fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|it| it.status.success())
    })
}

/// The page, with a picture in it that takes long to come. A browser that is to tell what a page has become does so when all of it is
/// loaded; by then the page has heard from the Coordinator.
fn with_something_slow(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let page = page.clone();
            // Browsers leave when they like.
            thread::spawn(move || serve(stream?, &page));
        }
    });
    address
}

fn serve(mut stream: TcpStream, page: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let asked = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    if asked.contains(SLOW) {
        thread::sleep(LONG_ENOUGH);
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    let mut behind = TcpStream::connect(page)?;
    write!(behind, "{asked}\r\nHost: {page}\r\n\r\n")?;
    if !asked.starts_with("GET / ") {
        return io::copy(&mut behind, &mut stream).map(|_| ());
    }
    let mut text = String::new();
    behind.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let body = body.replace("</body>", &format!("<img src={SLOW}></body>"));
    for line in head.lines() {
        // The page is not to have pictures, but for this one.
        let line = line.replace("default-src 'none'", "default-src 'none'; img-src 'self'");
        if !line.to_lowercase().starts_with("content-length:") {
            write!(stream, "{line}\r\n")?;
        }
    }
    write!(stream, "\r\n{body}")
}

const SLOW: &str = "slow.png";
/// The page hears from the Coordinator every second.
const LONG_ENOUGH: Duration = Duration::from_secs(3);
