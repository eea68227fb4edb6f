//! What applications hand on, of which each alone has to keep a flow in its lane.

use canary_rules::correlation::IdSource;

/// The header by which the tests' own applications correlate their requests.
pub const CUSTOM_HEADER: &str = "x-flow";

/// Something that an application hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// The tag header itself.
    Tag,
    /// W3C baggage.
    Baggage,
    /// The request id that the gateway minted.
    RequestId,
    /// W3C trace context.
    TraceParent,
    /// Zipkin, one header.
    B3,
    /// Zipkin, a header per field.
    XB3TraceId,
    /// SkyWalking.
    Sw8,
    /// Jaeger.
    UberTraceId,
    /// [`CUSTOM_HEADER`].
    Custom,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Tag,
        Self::Baggage,
        Self::RequestId,
        Self::TraceParent,
        Self::B3,
        Self::XB3TraceId,
        Self::Sw8,
        Self::UberTraceId,
        Self::Custom,
    ];

    /// The header, in lower case.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Tag => "x-canary-lane",
            Self::Baggage => "baggage",
            Self::RequestId => "x-request-id",
            Self::TraceParent => "traceparent",
            Self::B3 => "b3",
            Self::XB3TraceId => "x-b3-traceid",
            Self::Sw8 => "sw8",
            Self::UberTraceId => "uber-trace-id",
            Self::Custom => CUSTOM_HEADER,
        }
    }

    /// Under which origin a sidecar counts a request whose tag came by it.
    #[must_use]
    pub fn origin(self) -> &'static str {
        match self {
            Self::Tag => "header",
            Self::Baggage => "baggage",
            Self::RequestId => "request_id",
            _ => "correlation",
        }
    }

    /// The correlation id that makes flow `n` known, as a client or its tracing library sends it; none of the
    /// carriers that the filter itself writes.
    #[must_use]
    pub fn id(self, n: u64) -> Option<String> {
        // Spread over both halves, as real ids are, and never 0.
        let trace = u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(n + 1);
        let span = n ^ 0x5bd1_e995_0000_0001;
        Some(match self {
            Self::Tag | Self::Baggage | Self::RequestId => return None,
            Self::TraceParent => format!("00-{trace:032x}-{span:016x}-01"),
            Self::B3 => format!("{trace:032x}-{span:016x}-1"),
            Self::XB3TraceId => format!("{trace:032x}"),
            // Hexadecimal digits are base64 digits, too.
            Self::Sw8 => format!("1-{trace:032x}-{span:016x}-3-c2hvcA==-d2Vi-L2NhcnQ=-bG9jYWw="),
            Self::UberTraceId => format!("{trace:032x}:{span:016x}:0:1"),
            Self::Custom => format!("order-{n}"),
        })
    }
}

/// The correlation ids that the tests' meshes know: the default ones and [`CUSTOM_HEADER`].
///
/// # Panics
/// Never: the header's name is one.
#[must_use]
pub fn correlation() -> Vec<IdSource> {
    let mut sources = canary_rules::wire::Carriers::default().correlation;
    sources.push(IdSource::new(CUSTOM_HEADER).expect("a header name"));
    sources
}
