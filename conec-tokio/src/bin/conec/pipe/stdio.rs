//! Standard input and output, as files that are closed when they are dropped.
//!
//! The streams of the standard library are never closed, so that who reads from this process would not see the end of the bytes before the end
//! of the process; and they look for lines, of which there may be none.

use std::io;

use tokio::fs::File;

use crate::failure::Failure;

/// Takes standard input: nobody else can read from it any more.
pub(super) fn input() -> Result<File, Failure> {
    take_input().map_err(|error| Failure::io("cannot use standard input", &error))
}

/// Takes standard output: nobody else can write to it any more.
pub(super) fn output() -> Result<File, Failure> {
    take_output().map_err(|error| Failure::io("cannot use standard output", &error))
}

#[cfg(unix)]
fn take_input() -> io::Result<File> {
    use std::os::fd::AsFd;
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open(NULL)?)?;
    Ok(File::from_std(input.into()))
}

#[cfg(unix)]
fn take_output() -> io::Result<File> {
    use std::os::fd::AsFd;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(std::fs::File::options().write(true).open(NULL)?)?;
    Ok(File::from_std(output.into()))
}

#[cfg(windows)]
fn take_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    let input = io::stdin().as_handle().try_clone_to_owned()?;
    Ok(File::from_std(input.into()))
}

#[cfg(windows)]
fn take_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    let output = io::stdout().as_handle().try_clone_to_owned()?;
    Ok(File::from_std(output.into()))
}

#[cfg(unix)]
const NULL: &str = "/dev/null";
