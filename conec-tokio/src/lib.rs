//! [conec](conec_core) for async programs: end-to-end encrypted channels between programs, through one server you run.
//!
//! A [`Coordinator`] is the server, [`Client`]s connect to it. [`Channel`]s between Clients carry streams of whole
//! messages, each with a [`Sender`] and a [`Receiver`]. All are handles to one task for each endpoint, which owns the
//! socket and drives the state machine of [`conec_core`].
//!
//! ```
//! # #[cfg(feature = "self-signed")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use conec_tokio::*;
//!
//! let certificate = Certificate::self_signed(["localhost"])?;
//! let trust = Trust::Pin(certificate.pin());
//! let coordinator = Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate)).await?;
//! let address = coordinator.local_addr().to_string();
//!
//! let alice = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust.clone())).await?;
//! let bob = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust)).await?;
//! let bobs_id = bob.id();
//! let bob = tokio::spawn(async move {
//!     let channel = bob.accept().await.unwrap().accept().await.unwrap();
//!     let mut stream = channel.accept().await.unwrap();
//!     stream.receiver.recv().await
//! });
//!
//! let channel = alice.open(bobs_id, "greetings").await?;
//! let mut sender = channel.open_uni("hello").await?;
//! sender.send("Hello, Bob!".into()).await?;
//! assert_eq!(bob.await??.unwrap(), "Hello, Bob!");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "self-signed"))]
//! # fn main() {}
//! ```
//!
//! # Groups
//!
//! Many can talk to many by a [`Group`], in which all hear the same in the same order:
//!
//! ```
//! # #[cfg(feature = "self-signed")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use conec_tokio::*;
//!
//! # let certificate = Certificate::self_signed(["localhost"])?;
//! # let trust = Trust::Pin(certificate.pin());
//! # let coordinator = Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate)).await?;
//! # let address = coordinator.local_addr().to_string();
//! # let alice = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust.clone())).await?;
//! # let bob = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust)).await?;
//! // What only members can read: give them all this key.
//! let key = GroupKey::random()?;
//! let at_alice = alice.join("lobby".parse()?, JoinConfig::sealed(key.clone())).await?;
//! let at_bob = bob.join("lobby".parse()?, JoinConfig::sealed(key)).await?;
//! at_alice.publish("Hello, all!").await?;
//! let message = loop {
//!     // Besides messages, what is missing, who comes and who goes.
//!     if let GroupItem::Message(message) = at_bob.recv().await? {
//!         break message;
//!     }
//! };
//! assert_eq!(message.payload, "Hello, all!");
//! assert_eq!(message.sender, Some(alice.id()));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "self-signed"))]
//! # fn main() {}
//! ```
//!
//! # Finding your way
//!
//! The [guide] has pages about how it works, security, operating a Coordinator, outages, tuning, and coming from elsewhere. What is here, by
//! topic:
//!
//! | topic | begin with | beside it |
//! | --- | --- | --- |
//! | connecting | [`Client`], [`ClientConfig`] | [`CoordinatorUrl`], [`Invitation`], [`Trust`], [`ClientState`], [`CloseReason`], [`ConnectError`] |
//! | being the server | [`Coordinator`], [`CoordinatorConfig`] | [`CoordinatorEvent`], [`CoordinatorLimits`], [`ClientInfo`], [`PairInfo`], [`Drain`] |
//! | who may do what | [`Rules`] | [`Policy`], [`Authorities`] |
//! | who is who | [`Identity`], [`ClientId`], [`Name`] | [`Signer`], [`Credential`], [`Ca`], [`KnownFile`], [`Certificate`], [`KeyPin`] |
//! | channels | [`Channel`], [`Offer`] | [`ChannelConfig`], [`ChannelStats`], [`CongestionControl`], [`Path`], [`PathPolicy`], [`PathStats`] |
//! | streams of messages | [`Sender`], [`Receiver`] | [`IncomingStream`], [`SendEnd`], [`RecvEnd`], [`Lossy`] |
//! | streams of bytes | [`ByteStream`] | [`ByteReader`], [`ByteWriter`], [`copy_bidirectional`] |
//! | streams of values, questions and answers | [`calls`] | `typed`, with the feature `serde` |
//! | groups | [`Group`], [`JoinConfig`] | [`GroupItem`], [`GroupKey`], [`GroupConfig`], [`SlowMember`], [`Subscription`] |
//! | what it does | [`EndpointStats`] | `meters`, with the feature `metrics`; [`Traffic`], [`Nat`] |
//!
//! # Giving up
//!
//! Every future can be dropped at any time: nothing is lost, doubled or half done by it, and nothing is left of it. As
//! with any future, nothing is done before it is polled for the first time. What dropping a handle means is said at each
//! type; dropping the last one of an endpoint closes it gracefully in the background.
//!
//! # Certificates from elsewhere
//!
//! What comes from a CA is told in types of [`rustls`], which is here in the version that conec uses:
//!
//! ```no_run
//! use conec_tokio::{Trust, rustls::{RootCertStore, pki_types::{CertificateDer, pem::PemObject}}};
//!
//! let mut roots = RootCertStore::empty();
//! for root in CertificateDer::pem_file_iter("roots.pem")? {
//!     roots.add(root?)?;
//! }
//! let trust = Trust::Roots(roots.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod coordinator;
mod copy;
pub mod guide;
mod socket;
mod task;

pub use client::Client;
pub use coordinator::Coordinator;
pub use copy::copy_bidirectional;
pub use task::drive;

#[doc(no_inline)]
pub use conec_core::rustls;
#[doc(inline)]
pub use conec_driver::api::*;
pub use conec_driver::calls;
#[cfg(feature = "metrics")]
pub use conec_driver::meters;
#[cfg(feature = "serde")]
pub use conec_driver::typed;
