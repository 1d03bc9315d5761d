//! What applications use, whatever drives their endpoints: every adapter re-exports all of it.

pub use conec_core::{
    AnswerError, Authorities, BeginError, Certificate, CertificateError, Certified, ChannelConfig,
    ChannelEvent, ChannelId, ChannelStats, ClientConfig, ClientId, ClientInfo, ClientLimits,
    ClientState, CloseReason, Code, ConfigError, CongestionControl, CoordinatorConfig,
    CoordinatorEvent, CoordinatorLimits, CoordinatorUrl, Credential, CredentialError,
    DatagramStats, Direction, Drain, EndpointStats, ErrorCode, GroupConfig, GroupEnd, GroupError,
    GroupId, GroupInfo, GroupItem, GroupKey, GroupMember, GroupMessage, GroupSealer, GroupStart,
    GroupState, Identity, IntroduceError, InvalidName, Invitation, InvitationError, JoinConfig,
    Joined, KeyChange, KeyError, KeyMatch, KeyNotUsed, KeyPin, KeySealer, KnownClients, Lossy,
    Membership, MembershipId, Name, Nat, NoRandomness, OpenChannelError, Opened, PairError, PairId,
    PairInfo, Path, PathConfig, PathPolicy, PathStats, PeerInfo, Policy, PrivateAddresses, RecvEnd,
    Revocation, RuleProblem, Rules, RulesError, SealError, Secret, SendEnd, SendLimit, Signer,
    SlowMember, StreamId, Target, TextError, Traffic, Trust, UnsealError, UrlError,
};

pub use crate::{
    error::{
        BindError, ConnectError, IntroductionError, JoinError, OpenError, OpenStreamError,
        PublishError, RecvError, SendDatagramError, SendError, TryError, TryHearError,
        TryOpenStreamError, TryPublishError, TryRecvError, TrySendError,
    },
    handles::{
        ByteReader, ByteStream, ByteWriter, Channel, Group, IncomingStream, Offer, Receiver,
        Sender, Subscription,
    },
    known::{KnownError, KnownFile, KnownLineError},
    socket::{Socket, SocketAbilities},
    stored::{StoreError, load_certificate, load_or_create_identity},
};

#[cfg(feature = "self-signed")]
pub use conec_core::{Ca, CaError, SelfSignedError};

#[cfg(feature = "self-signed")]
pub use crate::stored::load_or_create_certificate;

#[cfg(feature = "passphrase")]
pub use conec_core::PassphraseError;

#[cfg(feature = "key-log")]
pub use crate::key_log::KeyLogFile;

#[cfg(feature = "qlog")]
pub use conec_core::{Qlog, QlogConnection};

#[cfg(feature = "qlog")]
pub use crate::qlog::QlogFolder;
