//! Asks a Prometheus for numbers. What they mean is for who asks.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_release::{About, Measured, Question, Questions};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use crate::failure::chain;
use crate::outbound;

/// How long to wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Most questions under way at a time.
const ASKED_AT_ONCE: usize = 4;
/// Longest answer that is read, in bytes: one number takes a few hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Where it is asked.
const PATH: &str = "api/v1/query";

/// Who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: reqwest::Client,
}

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{url} does not answer")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url} answers {status}: {said}")]
    Refused { url: String, status: u16, said: String },
    #[error("{url} answers at such length that it is no Prometheus")]
    TooLong { url: String },
    #[error("{url} answers what is not Prometheus's: {said}")]
    Strange { url: String, said: String },
    #[error("a query gives {count} series instead of one number, sum them up: {query}")]
    Several { count: usize, query: String },
}

impl Prometheus {
    /// One that trusts whom [`outbound::client`] trusts.
    ///
    /// # Errors
    /// When the system refuses what a client takes.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { client: outbound::client()? })
    }

    /// Asks all questions, of the same moment. One that cannot be answered leaves all of them without.
    pub async fn ask(&self, questions: &Questions) -> Measured {
        let asked: Vec<_> = questions.list.iter().map(|question| self.number(questions, question)).collect();
        let numbers: Result<Vec<_>, AskError> =
            stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await;
        let answers = match numbers {
            Ok(numbers) => Ok(numbers.into_iter().flatten().collect::<BTreeMap<About, f64>>()),
            Err(error) => Err(chain(&error)),
        };
        Measured { at: questions.at, step: questions.step, answers }
    }

    async fn number(
        &self,
        questions: &Questions,
        question: &Question,
    ) -> Result<Option<(About, f64)>, AskError> {
        let url = format!("{}/{PATH}", questions.url.trim_end_matches('/'));
        let form = [("query", question.query.as_str()), ("time", &questions.at.to_string())];
        let unreachable = |source: reqwest::Error| AskError::Unreachable {
            url: questions.url.clone(),
            source: source.without_url(),
        };
        let mut answer =
            self.client.post(url).timeout(ANSWER_TIMEOUT).form(&form).send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unreachable)? {
            if body.len().saturating_add(part.len()) > ANSWER_BYTES_MAX {
                return Err(AskError::TooLong { url: questions.url.clone() });
            }
            body.extend_from_slice(&part);
        }
        let url = || questions.url.clone();
        let read: Answer = match serde_json::from_slice(&body) {
            Ok(read) => read,
            Err(error) if status.is_success() => {
                return Err(AskError::Strange { url: url(), said: error.to_string() });
            }
            Err(_) => {
                let said = status.canonical_reason().unwrap_or("nothing more").to_owned();
                return Err(AskError::Refused { url: url(), status: status.as_u16(), said });
            }
        };
        let number = match read {
            Answer::Error { error } => {
                let said = format!("{error}, to {}", question.query);
                return Err(AskError::Refused { url: url(), status: status.as_u16(), said });
            }
            Answer::Success { data: Data::Scalar(sample) } => sample.number(),
            Answer::Success { data: Data::Vector(series) } => match series.as_slice() {
                [] => None,
                [one] => one.value.number(),
                several => {
                    return Err(AskError::Several { count: several.len(), query: question.query.clone() });
                }
            },
        };
        Ok(number.map(|number| (question.about, number)))
    }
}

/// An answer to an instant query. Source: Prometheus's documentation of its HTTP API, v1.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success { data: Data },
    Error { error: String },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Sample),
    Vector(Vec<Series>),
}

#[derive(Debug, Deserialize)]
struct Series {
    value: Sample,
}

/// When, and the number as text, for JSON knows no NaN.
#[derive(Debug, Deserialize)]
struct Sample(#[allow(dead_code, reason = "it was asked for")] f64, String);

impl Sample {
    /// Neither NaN, as of a quantile of nothing, nor an infinity is a number to judge by.
    fn number(&self) -> Option<f64> {
        self.1.parse().ok().filter(|number: &f64| number.is_finite())
    }
}
