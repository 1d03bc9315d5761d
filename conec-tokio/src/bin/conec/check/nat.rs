//! What this machine is behind, in words.

use conec_tokio::Nat;

/// As JSON has it.
pub(super) fn word(nat: Nat) -> &'static str {
    match nat {
        Nat::Absent => "absent",
        Nat::Unclassified => "unclassified",
        Nat::PortIndependent => "port_independent",
        Nat::PortDependent => "port_dependent",
        Nat::Unknown | _ => "unknown",
    }
}

/// As people are told.
pub(super) fn sentence(nat: Nat) -> &'static str {
    match nat {
        Nat::Absent => "none: packets come from this machine's own address",
        Nat::Unclassified => {
            "there is one; of which kind is not known, as nothing is heard from the Coordinator's second port"
        }
        Nat::PortIndependent => {
            "there is one that keeps ports: others mostly find a direct path here"
        }
        Nat::PortDependent => "there is one that changes ports with each destination",
        Nat::Unknown | _ => "not known",
    }
}

/// Whether no more is to be learned.
pub(super) fn is_settled(nat: Nat) -> bool {
    match nat {
        Nat::Absent | Nat::PortIndependent | Nat::PortDependent => true,
        Nat::Unknown | Nat::Unclassified | _ => false,
    }
}
