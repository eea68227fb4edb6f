//! One line of a proxy as what it says.

use canary_rules::trace::line;

/// Which of its passes a proxy tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into the mesh.
    Edge,
    /// To the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// What a proxy tells of one pass of a traced request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The proxy's pod.
    pub pod: String,
    /// Which pass.
    pub place: Place,
    /// The trace.
    pub trace: u64,
    /// The call: the one that came in, or the one that goes out.
    pub span: u64,
    /// Of a call: what caused it; several where that cannot be told.
    pub causes: Vec<u64>,
    /// Of a call that no id ties to its cause: how many other requests the application had open.
    pub others: Option<u64>,
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// Until the response's headers, in microseconds.
    pub took_us: u64,
    /// `GET`.
    pub method: String,
    /// The host that was asked for.
    pub authority: String,
    /// Without its query.
    pub path: String,
    /// The tag header as it came.
    pub tag_in: Option<String>,
    /// The tag header as it went on.
    pub tag_out: Option<String>,
    /// What the pass was counted under.
    pub counted: Vec<String>,
    /// What could carry a tag between proxy and application, with its value; baggage has none.
    pub carriers: Vec<(String, String)>,
    /// The response's status; none where there was no response.
    pub status: Option<u16>,
    /// The cluster that it was sent to.
    pub cluster: Option<String>,
    /// The route that it took.
    pub route: Option<String>,
    /// The address that served it.
    pub upstream: Option<String>,
}

impl Record {
    /// What a log's line of this pod's proxy tells; none where it tells of no trace.
    #[must_use]
    pub fn read(pod: &str, log: &str) -> Option<Self> {
        let fields = line::read(log)?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let all = |key: &'static str| fields.iter().filter(move |(known, _)| known == key);
        let one = |key| all(key).next().map(|(_, value)| text(value));
        let number = |value: String| u64::from_str_radix(&value, 16).ok();
        let place = match one(line::PLACE)?.as_str() {
            "edge" => Place::Edge,
            "inbound" => Place::Inbound,
            "outbound" => Place::Outbound,
            _ => return None,
        };
        let carrier = |(key, value): &(String, Vec<u8>)| {
            Some((key.strip_prefix(line::CARRIER)?.to_owned(), text(value)))
        };
        Some(Self {
            pod: pod.into(),
            place,
            trace: one(line::TRACE).and_then(number)?,
            span: one(line::SPAN).and_then(number)?,
            causes: all(line::CAUSE).filter_map(|(_, value)| number(text(value))).collect(),
            others: one(line::OTHERS).and_then(number),
            at_us: one(line::AT).and_then(number)?,
            took_us: one(line::TOOK).and_then(number).unwrap_or_default(),
            method: one("method").unwrap_or_default(),
            authority: one("authority").unwrap_or_default(),
            path: one("path").unwrap_or_default(),
            tag_in: one(line::TAG_IN),
            tag_out: one(line::TAG_OUT),
            counted: all(line::COUNTED).map(|(_, value)| text(value)).collect(),
            carriers: fields.iter().filter_map(carrier).collect(),
            status: one(line::STATUS).and_then(|status| status.parse().ok()),
            cluster: one(line::CLUSTER),
            route: one(line::ROUTE),
            upstream: one(line::UPSTREAM),
        })
    }

    /// Whether the pass was counted under this.
    pub(crate) fn counts(&self, name: &str) -> bool {
        self.counted.iter().any(|counted| counted == name)
    }
}
