//! Processes of the tool in terminals.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{INTERRUPTED, LONG};

/// A command in a terminal of its own. Dropped, it is killed.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    written: Receiver<Vec<u8>>,
    screen: Vec<u8>,
}

impl Terminal {
    /// With colours, unless the command's environment says otherwise.
    pub(crate) fn of(mut command: Command) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        command.env("TERM", "xterm-256color").process_group(0);
        let child = command.spawn().unwrap();
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().unwrap();
        let (pieces, written) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // It fails when no process has the terminal any more.
            while let Ok(length @ 1..) = output.read(&mut piece) {
                if pieces.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            written,
            screen: Vec::new(),
        }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown. All that was shown so far.
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let screen = String::from_utf8_lossy(&self.screen);
            if screen.contains(text) {
                return screen.into_owned();
            }
            let patience = LONG.saturating_sub(begun.elapsed());
            match self.written.recv_timeout(patience) {
                Ok(piece) => self.screen.extend(piece),
                Err(_) => panic!("{text:?} is not shown, but {screen:?}"),
            }
        }
    }

    /// Has it end, as Ctrl-C does, and waits for that.
    pub(crate) fn interrupt(mut self) {
        self.signal(Signal::SIGINT);
        let screen = self.rest();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(INTERRUPTED), "{screen:?}");
    }

    /// Has it end in the same way, where that is how it ends well.
    pub(crate) fn stop(self) {
        self.signal(Signal::SIGINT);
        self.ended();
    }

    /// Waits for its end, which is a good one. All that was shown.
    pub(crate) fn ended(mut self) -> String {
        let screen = self.rest();
        assert!(self.child.wait().unwrap().success(), "{screen:?}");
        screen
    }

    /// All that is shown until nobody has the terminal any more.
    fn rest(&mut self) -> String {
        loop {
            match self.written.recv_timeout(LONG) {
                Ok(piece) => self.screen.extend(piece),
                Err(RecvTimeoutError::Disconnected) => {
                    return String::from_utf8_lossy(&self.screen).into_owned();
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "it does not end: {:?}",
                        String::from_utf8_lossy(&self.screen)
                    );
                }
            }
        }
    }

    /// To all processes that it has become.
    fn signal(&self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
