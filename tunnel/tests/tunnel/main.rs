//! Client and agent over real sockets, with a link between them that can be cut, stalled and slowed down.

mod faults;
mod inbound;
mod link;
mod load;
mod scene;
mod session;
mod streams;
