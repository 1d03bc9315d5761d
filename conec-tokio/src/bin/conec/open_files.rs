//! How many connections a process can have at once.

/// Lets this process open as many files and sockets as the system allows it. Usually it begins with fewer, since some programs cannot
/// use many; what this one runs from then on begins with as many.
pub(crate) fn allow_many() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Some systems take less than they say. Then it stays as it is.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
