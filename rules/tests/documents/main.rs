//! Lane documents as people write them, and what they are told about them. Each snapshot holds the text and
//! the answer; `INSTA_UPDATE=always cargo test -p canary-rules --test documents` writes them anew.

mod faults;
mod schema;
mod valid;
