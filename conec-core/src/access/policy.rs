//! Who decides.

/// Who decides about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Always yes.
    Allow,
    /// The application, asked by an event. Who is refused then does not learn by the answer whether a name is held or a Client
    /// is there, nor, if the application denies channels within a second, by when it comes.
    Ask,
    /// Always no.
    Deny,
}
