//! What applications use, whatever drives their endpoints: every adapter re-exports all of it.

pub use conec_core::{
    AnswerError, Authorities, Certificate, CertificateError, Certified, ChannelConfig,
    ChannelEvent, ChannelId, ChannelStats, ClientConfig, ClientId, ClientInfo, ClientLimits,
    ClientState, CloseReason, Code, ConfigError, CongestionControl, CoordinatorConfig,
    CoordinatorEvent, CoordinatorLimits, CoordinatorUrl, Credential, CredentialError,
    DatagramStats, Direction, Drain, EndpointStats, ErrorCode, Identity, IntroduceError,
    InvalidName, Invitation, InvitationError, KeyChange, KeyError, KeyPin, KnownClients, Lossy,
    Name, Nat, NoRandomness, OpenChannelError, PairError, PairId, PairInfo, Path, PathConfig,
    PathPolicy, PathStats, PeerInfo, Policy, PrivateAddresses, RecvEnd, Revocation, RuleProblem,
    Rules, RulesError, Secret, SendEnd, SendLimit, Signer, StreamId, Target, TextError, Traffic,
    Trust, UrlError,
};

pub use crate::{
    error::{
        BindError, ConnectError, IntroductionError, OpenError, OpenStreamError, RecvError,
        SendDatagramError, SendError, TryError, TryOpenStreamError, TryRecvError, TrySendError,
    },
    handles::{Channel, IncomingStream, Offer, Receiver, Sender},
    known::{KnownError, KnownFile, KnownLineError},
    socket::Socket,
    stored::{StoreError, load_certificate, load_or_create_identity},
};

#[cfg(feature = "self-signed")]
pub use conec_core::{Ca, CaError, SelfSignedError};

#[cfg(feature = "self-signed")]
pub use crate::stored::load_or_create_certificate;
