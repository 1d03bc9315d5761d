//! The codes by which one tool tells another why something ends. They are numbered as those of HTTP are, which many know.

use conec_tokio::Code;

/// What was sent cannot be understood: another version, perhaps.
pub(crate) const MALFORMED: Code = Code(400);
/// The Coordinator wants a token, and that was none, or a wrong one.
pub(crate) const TOKEN: Code = Code(401);
/// Nobody may do that here, or not this one.
pub(crate) const DENIED: Code = Code(403);
/// This process serves something else.
pub(crate) const NOT_SERVED: Code = Code(404);
/// The code that was typed is not the one that was made, or was used before.
pub(crate) const WRONG_CODE: Code = Code(407);
/// Sent away by an operator.
pub(crate) const KICKED: Code = Code(410);
/// It serves somebody else at the moment.
pub(crate) const BUSY: Code = Code(429);
/// It was tried, and did not work at that end.
pub(crate) const FAILED: Code = Code(500);
/// There is no room for what is to be stored.
pub(crate) const NO_ROOM: Code = Code(507);

/// What a code says of the other side, and what to do then.
pub(crate) fn meaning(code: Code) -> Option<(&'static str, &'static str)> {
    Some(match code {
        MALFORMED => (
            "it did not understand what was asked",
            "have the same version at both ends",
        ),
        TOKEN => (
            "it wants a token, and this one is not right",
            "get its ticket from whoever runs it, and `conec join` with that",
        ),
        DENIED => (
            "it does not allow that",
            "what is allowed is said where the other command runs",
        ),
        NOT_SERVED => (
            "it does not serve that",
            "run the command there that serves it",
        ),
        WRONG_CODE => (
            "the codes at both ends are not the same",
            "a code is good for one try: make a new one with `conec send --code`",
        ),
        KICKED => (
            "an operator has sent this Client away",
            "ask whoever runs the Coordinator",
        ),
        BUSY => ("it is busy with somebody else", "try again later"),
        FAILED => (
            "it has failed at the other end",
            "see what the other command says",
        ),
        NO_ROOM => (
            "there is no room for it",
            "make room there, and let it be sent again: what is there already is kept",
        ),
        _ => return None,
    })
}
