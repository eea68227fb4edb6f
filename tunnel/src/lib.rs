//! The two ends of a developer's connection to a cluster: the [`Client`] on their machine, the [`Agent`] in a pod.
//!
//! Between them is one stream of bytes at a time, in practice a port that the API server forwards. It may break,
//! stall or be slow: the client makes a new one and the same session goes on. Over it run many streams with flow
//! control of their own: those that the client asks for ([`Client::dial`]), and those that the agent accepted on a
//! port that it exposes ([`Inbound`]). Who makes the agent, and what the streams are for, this crate does not know.

mod agent;
mod client;
mod dial;
mod echo;
mod header;
mod heard;
mod hello;
mod mux;
mod session;
mod splice;

pub use agent::{Agent, AgentOptions, OpenError, ServeError};
pub use client::{Client, ClientOptions, Connect, ConnectError, Inbound, Inbounds, SessionEnd, Status};
pub use dial::{DialError, Problem, Target, TargetError};
pub use echo::Timing;
pub use hello::{HelloError, Versions};
pub use mux::{STREAMS_MAX, Stream};
pub use session::{Secret, SecretHash, SecretHashError, Session};
pub use splice::{Spliced, splice};
